"""The command `fullpool`, also as `python -m fullpool`.

Worker processes import the module that started the program once more; so nothing is imported here
before the command runs.
"""


def main() -> None:
    """Run the command in sys.argv; never returns."""
    from fullpool.cli import main as run  # noqa: PLC0415 - see above

    run()


if __name__ == "__main__":
    main()
