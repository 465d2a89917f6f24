"""One pass: discover, plan, fetch, build, record, publish. Calls in order and decides nothing."""
