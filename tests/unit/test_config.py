"""The configuration: every mistake at once, and the shipped file held to the code."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from fullpool.config import (
    Checks,
    Config,
    Dataset,
    Discovery,
    Lake,
    Limits,
    Metrics,
    Network,
    Rest,
    Schedule,
    lake_path_in,
    parse,
)
from fullpool.errors import ConfigError, Exit

SHIPPED = Path(__file__).parents[2] / "config" / "fullpool.toml"
GOOD = '[[dataset]]\nmarket = "spot"\nkind = "klines"\nsymbols = ["BTCUSDT"]\nintervals = ["1m"]\n'


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.toml")
    assert caught.value.exit_code is Exit.CONFIG
    return caught.value.problems


def test_the_shipped_file_has_every_default() -> None:
    written = tomllib.loads(SHIPPED.read_text())

    for name, section in (
        ("lake", Lake),
        ("network", Network),
        ("limits", Limits),
        ("discovery", Discovery),
        ("rest", Rest),
        ("checks", Checks),
        ("schedule", Schedule),
        ("metrics", Metrics),
    ):
        defaults = {f.name: f.default for f in fields(section)}
        assert written[name] == defaults
    assert {f.name for f in fields(Dataset)} - set(written["dataset"][0]) == {"end"}
    assert set(written) == {f.name for f in fields(Config)}
    assert "# end = " in SHIPPED.read_text()


def test_comments_explain_every_shipped_key() -> None:
    lines = SHIPPED.read_text().splitlines()

    keys = [i for i, line in enumerate(lines) if re.match(r"(# end|\w+) = ", line)]

    assert all(lines[i - 1].startswith("#") for i in keys)


def test_the_shipped_file_parses() -> None:
    assert parse(SHIPPED.read_text(), "fullpool.toml").dataset[0].market == "spot"


def test_all_mistakes_are_reported_with_their_lines() -> None:
    found = problems(
        '[lake]\npth = "x"\n[limits]\nbuilders = 0\n'
        '[[dataset]]\nmarket = "spt"\nkind = "kline"\nsymbols = ["../x"]\nintervals = ["1M"]\n'
    )

    assert [text.split(":")[0] for text in found] == [
        "line 2, lake.pth",
        "line 4, limits.builders",
        "line 6, dataset[1].market",
        "line 7, dataset[1].kind",
        "line 8, dataset[1].symbols[1]",
        "line 9, dataset[1].intervals[1]",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[lke]\npath = "x"\n' + GOOD, "did you mean lake?"),
        (GOOD.replace("spot", "sopt"), "did you mean spot?"),
        (GOOD.replace("klines", "KLines"), "did you mean klines?"),
        (GOOD.replace('"1m"', '"1M"'), "did you mean 1mo?"),
        (GOOD.replace('"1m"', '"1min"'), "did you mean 1m?"),
        (GOOD.replace("symbols", "symbol"), "did you mean symbols?"),
        (GOOD.replace("spot", "um").replace('"1m"', '"1s"'), "1s is published for spot only"),
        (GOOD.replace("klines", "markPriceKlines"), "the vendor has no markPriceKlines of spot"),
        (GOOD.replace("klines", "aggTrades"), "aggTrades have none; leave the key out"),
        (GOOD.replace("BTCUSDT", "btcusdt"), "in upper case: BTCUSDT"),
        (GOOD.replace("BTCUSDT", "BTC/USDT"), "did you mean BTCUSDT?"),
        (GOOD.replace("BTCUSDT", "btc-usdt"), "did you mean BTCUSDT?"),
        ('[network]\nproxy = "NONE"\n' + GOOD, 'must be "none", in lower case'),
        (GOOD.replace('["BTCUSDT"]', "[]"), "symbols: must not be empty"),
        (GOOD.replace('intervals = ["1m"]', ""), "need at least one of 1s"),
        (GOOD + "start = 2024-02-01\nend = 2024-01-01", "2024-01-01 is before start"),
        ('[network]\narchive_url = "ftp://x"\n' + GOOD, "must be an address like https"),
        ('[network]\narchive_url = "http://mirror.lan"\n' + GOOD, "must be https, or set"),
        ('[lake]\npath = "/a|b"\n' + GOOD, "may not hold"),
        ('[network]\nconnections = "many"\n' + GOOD, "must be a whole number, without quotes"),
        ('[schedule]\ntick = "5 minutes"\n' + GOOD, "must be an interval like 30s, 5m"),
        ('[schedule]\naudit = "61 4 * * *"\n' + GOOD, "the minute must lie between 0 and 59"),
        ('[schedule]\naudit = "0 4 * * 1"\n' + GOOD, "names such as mon"),
        ('[metrics]\nlisten = "0.0.0.0:9187"\n' + GOOD, "set metrics.anyone = true if that is"),
        ('[metrics]\nlisten = "9187"\n' + GOOD, "must be an address of this machine"),
        ('[metrics]\nfile = "/home/me/notes.txt"\n' + GOOD, "must end with .prom"),
        ('[metrics]\nfile = "lake.duckdb"\n' + GOOD, "must end with .prom"),
        ('[lake]\npath = "s3://bucket/x"\n' + GOOD, "a folder of this machine"),
        ('[lake]\npath = "$HOME/lake"\n' + GOOD, "a folder of this machine"),
        ("[[dataset]]\n", "missing; it has no default"),
        (GOOD.replace('["BTCUSDT"]', '"BTCUSDT"'), 'must be a list, such as ["BTCUSDT"]'),
        (GOOD + 'start = "2024-02-01"', "must be a date without quotes and without a time"),
        (GOOD + "start = 2024-02-01T00:00:00Z", "not 2024-02-01T00:00:00+00:00"),
        ('[network]\nallow_http = "no"\n' + GOOD, "must be true or false, without quotes"),
        ('[lake]\nretain_hours = "24"\n' + GOOD, "must be a number, without quotes, not '24'"),
        ("[limits]\nbuilders = true\n" + GOOD, "must be a whole number, without quotes, not true"),
        ("[lake]\nmin_free_gb = inf\n" + GOOD, "must be a finite number"),
        ("lake = 3\n" + GOOD, "must be a table, not 3"),
        ("[dataset]\n", "write [[dataset]] over each"),
        (GOOD.replace('["1m"]', '"1m"'), 'must be a list, such as ["1h"]'),
        (
            GOOD.replace('"BTCUSDT"', '"*USDT", "!*"'),
            "symbols: nothing is left: !*",
        ),
        (GOOD.replace('"BTCUSDT"', '"BTCUSDT", "!BTC*"'), "nothing is left: !BTC*"),
        (GOOD + "end = 2024-01-01\nstart = 2024-02-01", "line 6, dataset[1].end: 2024-01-01 is"),
        ('[network]\nconnections = 0\narchive_url = "http://x.lan"\n' + GOOD, "must be https"),
        ('[network]\narchive_url = "http://["\n' + GOOD, "Invalid IPv6 URL"),
        ("", "dataset: missing"),
        ("a = ", "not TOML"),
    ],
)
def test_a_mistake_names_what_is_allowed(text: str, expected: str) -> None:
    assert expected in "\n".join(problems(text))


def test_a_symbol_beyond_ascii_is_accepted() -> None:
    config = parse(GOOD.replace("BTCUSDT", "币安人生USDT"), "x")

    assert config.dataset[0].literal_symbols == ("币安人生USDT",)


@pytest.mark.parametrize(
    ("patterns", "wanted", "unwanted"),
    [
        (("*USDT",), "ETHUSDT", "ETHBTC"),
        (("*USDT", "!*UPUSDT"), "ETHUSDT", "BTCUPUSDT"),
        (("!*UPUSDT",), "ETHBTC", "BTCUPUSDT"),
        (("BTC?????",), "BTCFDUSD", "BTCUSDT"),
        (("BTCUSDT", "ETH*"), "BTCUSDT", "BNBUSDT"),
        (("*USDT", "!*0*"), "BTCUSDT", "1000PEPE0USDT"),
        (("*", "!?????????????*"), "BTCUSDT", "1000PEPEUSDC_PERP"),
        (("*USDT", "BTCUSDT", "!BTC*"), "ETHUSDT", "BTCUSDT"),
    ],
)
def test_patterns_take_and_leave_out(patterns: tuple[str, ...], wanted: str, unwanted: str) -> None:
    names = ", ".join(f'"{pattern}"' for pattern in patterns)
    dataset = parse(GOOD.replace('"BTCUSDT"', names), "x").dataset[0]

    assert dataset.wants(wanted)
    assert not dataset.wants(unwanted)


def test_http_is_allowed_locally_or_when_configured() -> None:
    parse('[network]\narchive_url = "http://127.0.0.1:1"\n' + GOOD, "x")
    parse('[network]\nallow_http = true\narchive_url = "http://mirror.lan"\n' + GOOD, "x")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[lake]\npath = '/a'\n[nonsense]", "/a"),
        ("[ lake ]  # here\npath = '/a'\n[[dataset]\n", "/a"),
        ("lake.path = '/a'", "/a"),
        ("lake = {path = '/a'}", "/a"),
        ("[lake]\nretain_hours = oops\npath = '/a'\n", "/a"),
        ("[network]\nlist = [\n  [1],\n]\n[lake]\npath = '/a'\n", "/a"),
        ("[nonsense]\n", "/usual"),
        ("[lake]\npath = 7\n", ""),
        ("[lake]\nretain_hours = 3\n[nonsense]", "/usual"),
        ("[lake]\npth = '/a'\n", ""),
        ("[Lake]\npath = '/a'\n", ""),
        ("[other]\npath = '/a'\n[", ""),
        ("lake = 7", ""),
    ],
)
def test_lake_path_is_found_despite_mistakes(text: str, path: str) -> None:
    assert lake_path_in(text, "/usual") == path


def test_the_container_config_is_right() -> None:
    file = Path(__file__).parents[2] / "config" / "container.toml"
    config = parse(file.read_text(), "container.toml")

    assert (config.lake.path, config.metrics.listen) == ("/lake", "0.0.0.0:9187")
