"""Run in an environment of its own: other people's clients against the stand-in for the vendor.

Usage: clients.py NAME URL FOLDER. Raises what a client raises, or AssertionError.
"""

import sys
from pathlib import Path

START, HOUR = 1_717_200_000_000, 3_600_000  # 2024-06-01, in milliseconds
KEYS = 2 * 1100  # of each a ZIP and its CHECKSUM, beside those of other series


def boto3(url: str, folder: Path) -> None:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError

    settings = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=url, region_name="ap-northeast-1", config=settings)
    bucket, prefix = "data.binance.vision", "data/spot/daily/klines/BTCUSDT/1d/"
    for operation in ("list_objects_v2", "list_objects"):
        pages = list(s3.get_paginator(operation).paginate(Bucket=bucket, Prefix=prefix))
        keys = [one["Key"] for page in pages for one in page["Contents"]]
        assert len(pages) == 3, (operation, len(pages))
        assert keys == sorted(set(keys))
        assert len(keys) == KEYS, (operation, len(keys))
    folders = s3.list_objects_v2(Bucket=bucket, Prefix="data/spot/daily/klines/", Delimiter="/")
    assert [one["Prefix"] for one in folders["CommonPrefixes"]] == [
        f"data/spot/daily/klines/{name}/" for name in ("BTCUSDT", "ETHUSDT")
    ]
    key = next(key for key in keys if key.endswith(".zip"))
    head = s3.head_object(Bucket=bucket, Key=key)
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert head["ContentLength"] == len(body)
    part = s3.get_object(Bucket=bucket, Key=key, Range="bytes=2-5")
    assert part["Body"].read() == body[2:6]
    assert s3.get_object(Bucket=bucket, Key=key, Range="bytes=-4")["Body"].read() == body[-4:]
    for condition in ({"IfModifiedSince": head["LastModified"]}, {"IfNoneMatch": head["ETag"]}):
        try:
            s3.get_object(Bucket=bucket, Key=key, **condition)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "304"
        else:
            raise AssertionError(f"{condition} was not kept")
    s3.download_file(bucket, key, str(folder / "by-boto3.zip"))
    assert (folder / "by-boto3.zip").read_bytes() == body


def ccxt(url: str, _folder: Path) -> None:
    import ccxt

    for make, symbol in ((ccxt.binance, "BTC/USDT"), (ccxt.binanceusdm, "BTC/USDT:USDT")):
        exchange = make()
        api = exchange.urls["api"]
        paths = {
            "public": "api/v3",
            "v1": "api/v1",
            "fapiPublic": "fapi/v1",
            "dapiPublic": "dapi/v1",
        }
        exchange.urls["api"] = api | {name: f"{url}/{path}" for name, path in paths.items()}
        exchange.options["fetchCurrencies"] = False
        exchange.options["fetchMargins"] = False
        markets = exchange.load_markets()
        assert symbol in markets, sorted(markets)
        bars = exchange.fetch_ohlcv(symbol, "1h", since=START, limit=5)
        assert [bar[0] for bar in bars] == [START + n * HOUR for n in range(5)]
        newest = exchange.fetch_ohlcv(symbol, "1h", limit=3)
        assert newest[-1][0] > bars[-1][0]
        exchange.close() if hasattr(exchange, "close") else None


def python_binance(url: str, _folder: Path) -> None:
    from binance.client import Client
    from binance.exceptions import BinanceAPIException

    Client.API_URL, Client.FUTURES_URL = f"{url}/api", f"{url}/fapi"
    client = Client(ping=False)
    client.API_URL, client.FUTURES_URL = f"{url}/api", f"{url}/fapi"
    assert client.ping() == {}
    assert client.get_symbol_info("BTCUSDT")["baseAsset"] == "BTC"
    bars = client.get_historical_klines("BTCUSDT", "1h", START, START + 30 * HOUR)
    assert [bar[0] for bar in bars] == [START + n * HOUR for n in range(31)]
    assert len(client.futures_klines(symbol="BTCUSDT", interval="1h", limit=7)) == 7
    trades = list(client.aggregate_trade_iter("BTCUSDT", start_str=START))
    assert len(trades) == 500, len(trades)
    try:
        client.get_klines(symbol="NOSUCH", interval="1h")
    except BinanceAPIException as error:
        assert error.code == -1121
    else:
        raise AssertionError("a symbol that is not there was answered")


def binance_connector(url: str, _folder: Path) -> None:
    from binance.error import ClientError
    from binance.spot import Spot

    spot = Spot(base_url=url)
    assert spot.ping() == {}
    assert spot.time()["serverTime"] > START
    assert spot.exchange_info("BTCUSDT")["symbols"][0]["quoteAsset"] == "USDT"
    assert len(spot.klines("BTCUSDT", "1h")) == 48
    assert len(spot.klines("BTCUSDT", "1h", endTime=START + 9 * HOUR, limit=4)) == 4
    day = spot.agg_trades("BTCUSDT", startTime=START, endTime=START + HOUR)
    assert day
    assert all(START <= one["T"] <= START + HOUR for one in day)
    for query in ({"interval": "61m"}, {"interval": "1h", "limit": "many"}):
        try:
            spot.klines("BTCUSDT", **query)
        except ClientError as error:
            assert error.error_code in (-1120, -1100)
        else:
            raise AssertionError(f"{query} was answered")


if __name__ == "__main__":
    {
        "boto3": boto3,
        "ccxt": ccxt,
        "python-binance": python_binance,
        "binance-connector": binance_connector,
    }[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
