"""What needs a person, found and said in a sentence each."""
