# What a new user does, in a bare Debian with Python and without a network: from the wheel in /dist to its removal.
# Packages are in /wheels, old lakes in /fixtures. VERSION is that of the wheel.
set -eu
cd /root

# wait_for COMMAND...: try it for a minute at most.
wait_for() {
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    echo "waited in vain for: $*"
    cat ./*.log
    exit 1
}

# vendor FOLDER PORT OPTION...: serve a folder of archives as Binance does, until `kill $served`.
vendor() {
    folder=$1 port=$2
    shift 2
    fullpool simulator "$folder" --port "$port" "$@" >"$port.log" 2>&1 &
    served=$!
    wait_for grep -q archive_url "$port.log"
}

# point FILE PORT: have a configuration use the vendor at that port.
point() {
    for host in archive spot um cm; do
        sed -i "s#^${host}_url = .*#${host}_url = \"http://127.0.0.1:$2\"#" "$1"
    done
    sed -i "s#^listing_url = .*#listing_url = \"http://127.0.0.1:$2/data.binance.vision\"#" "$1"
}

python3 -m venv env
PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels env/bin/pip install --quiet "/dist/fullpool-$VERSION-py3-none-any.whl[web]"
PATH=/root/env/bin:$PATH
fullpool --version

fullpool demo demo-lake >demo.log
grep 'The lake stays in demo-lake/lake' demo.log

# The first real lake.
vendor vendor 8765 --api api --series spot/klines/BTCUSDT/1m --days 3
first=$served
fullpool init --lake /root/lake --symbols BTCUSDT --intervals 1m --follow
point fullpool.toml 8765
fullpool check fullpool.toml
fullpool plan
fullpool sync
fullpool sql --csv "SELECT count(*) >= 3 * 1440 AS whole, count(*) FILTER (source = 'rest') AS followed FROM klines"
fullpool doctor

# The daemon, a notebook while it runs, the page, Python.
fullpool run >run.log 2>&1 &
daemon=$!
wait_for fullpool health
fullpool reload
pip install --quiet --no-index --find-links /wheels nbclient ipykernel
cp /fixtures/lake.ipynb .
jupyter execute --inplace lake.ipynb
python -c "import json; told = [''.join(cell['outputs'][0]['data']['text/plain'])
    for cell in json.load(open('lake.ipynb'))['cells']]; print('notebook:', *told)"
kill "$daemon"
wait "$daemon"
echo "daemon: $?"
fullpool web --lake lake --port 8787 >web.log &
page=$!
wait_for grep -q http web.log
python -c "import urllib.request as r; print('web:', r.urlopen('http://127.0.0.1:8787/live').read().decode())"
kill "$page"
wait "$page" || true
python -c "import fullpool; print('python:', fullpool.open('lake').klines('BTCUSDT', '1m').head(2).count())"
kill "$first"

# Lakes of every older format.
python -c "import tarfile; tarfile.open('/fixtures/lakes-of-formats-1-to-13.tar.xz').extractall('old')"
vendor old/vendor 8766
for lake in old/format-*; do
    fullpool init --lake "/root/$lake" --symbols BTCUSDT --intervals 1h --start 2024-03-04 old.toml >/dev/null
    point old.toml 8766
    sed -i 's#^start = .*#start = 2024-03-04\nend = 2024-03-06#' old.toml
    fullpool sync --config old.toml >/dev/null
    fullpool verify --lake "$lake" >/dev/null
    echo "upgraded: $lake $(fullpool sql --lake "$lake" --csv 'SELECT count(*) FROM klines' | tail -1)"
    rm old.toml
done
kill "$served"

# And away again.
env/bin/pip uninstall --quiet --yes fullpool
test ! -e env/bin/fullpool
left=$(find / -xdev -newer demo.log -name '*fullpool*' -not -path '/root/*' -not -path '/proc/*')
test -z "$left"
echo removed
