// The chart of a series: bars or a line, its gaps shaded, rows from the API marked.
"use strict";
(() => {
  const box = document.getElementById("chart");
  if (!box) return;
  const said = document.getElementById("chart-said"), columns = document.getElementById("columns");
  const asOf = box.dataset.asOf;
  let chart = null, main = null, volume = null, shades = null, marks = null, shown = null, loading = 0, isOurs = false;

  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(`--${name}`).trim();
  const shade = (name) => `${colour(name)}55`;
  const options = () => ({
    autoSize: true,
    layout: { background: { color: colour("back") }, textColor: colour("soft"), attributionLogo: false, fontFamily: "system-ui, sans-serif" },
    grid: { vertLines: { color: colour("raised") }, horzLines: { color: colour("raised") } },
    timeScale: { timeVisible: true, secondsVisible: false, borderColor: colour("line"), minBarSpacing: 0.2 },
    rightPriceScale: { borderColor: colour("line") },
    localization: { locale: "en-GB" },
  });

  const address = (span) => {
    const asked = new URLSearchParams();
    for (const [name, value] of Object.entries({ ...span, as_of: asOf, column: shown?.chosen })) if (value) asked.set(name, value);
    return `${box.dataset.address}?${asked}`;
  };
  const load = async (span) => {
    const mine = ++loading;
    said.textContent = "loading";
    try {
      const answer = await fetch(address(span));
      const data = await answer.json();
      if (mine !== loading) return;
      if (!answer.ok) { said.textContent = data.error; return; }
      shown = { ...data, chosen: shown?.chosen, span };
      remember(span);
      show(data);
    } catch { if (mine === loading) said.textContent = "the server does not answer"; }
  };

  // So that what is seen can be shared.
  const remember = (span) => {
    const here = new URL(location.href);
    for (const name of ["from", "to"]) { if (span[name]) here.searchParams.set(name, span[name]); else here.searchParams.delete(name); }
    history.replaceState(null, "", here);
  };
  const lengthText = (seconds) => (seconds >= 86400 ? `${seconds / 86400} d` : seconds >= 3600 ? `${seconds / 3600} h` : seconds >= 60 ? `${seconds / 60} min` : `${seconds} s`);
  const stamp = (text) => Math.floor(Date.parse(text) / 1000);

  const show = (data) => {
    const at = Object.fromEntries(data.names.map((name, index) => [name, index]));
    make(data.is_candles);
    const point = (row) => (data.is_candles
      ? { time: row[0], open: Number(row[at.open]), high: Number(row[at.high]), low: Number(row[at.low]), close: Number(row[at.close]) }
      : { time: row[0], value: Number(row[at.value]) });
    const known = new Map(data.points.filter((row) => row[data.is_candles ? at.close : at.value] !== null).map((row) => [row[0], row]));
    const times = timesOf(data, known);
    main.setData(times.map((time) => (known.has(time) ? point(known.get(time)) : { time })));
    main.applyOptions(precision(data, known, at));
    volume?.setData(at.volume === undefined ? [] : data.points.map((row) => ({ time: row[0], value: Number(row[at.volume]) })));
    shades.setData(shadesOf(data, times));
    const patched = data.points.filter((row) => row[at.is_patched]);
    const archived = data.archived_until ? stamp(data.archived_until) : 0;
    marks.setMarkers(patched.map((row) => ({ time: row[0], position: "belowBar", shape: "circle", color: colour(row[0] >= archived ? "followed" : "patched"), size: 0.4 })));
    legend(data, at, known);
    isOurs = true;
    chart.timeScale().fitContent();
    setTimeout(() => { isOurs = false; }, 300);
    offer(data);
    const gaps = data.gaps.length ? `, ${data.gaps.length} gap${data.gaps.length > 1 ? "s" : ""}` : "";
    said.textContent = data.points.length ? `${data.points.length.toLocaleString("en")} points of ${lengthText(data.length_s)} each${gaps}` : `no rows in this span${gaps}`;
    box.dataset.drawn = data.points.length;
  };
  const legend = (data, at, known) => {
    const values = document.getElementById("chart-values");
    const names = data.names.slice(1, -1);
    const tell = (row) => {
      if (!row) { values.textContent = "\u00a0"; return; }
      const when = new Date(row[0] * 1000).toISOString().replace("T", " ").slice(0, 16);
      const source = row[at.is_patched] ? ", from the API" : "";
      values.textContent = `${when}: ${names.map((name) => `${name} ${Number(row[at[name]]).toLocaleString("en", { maximumSignificantDigits: 8 })}`).join(", ")}${source}`;
    };
    tell(data.points.at(-1));
    chart.subscribeCrosshairMove((event) => {
      const gap = event.time && !known.has(event.time) && data.gaps.find((one) => stamp(one.gap_start) < event.time + data.length_s && stamp(one.gap_end) > event.time);
      if (gap) values.textContent = `${gap.status} gap: ${(gap.explanation ?? "no explanation yet").replaceAll("_", " ")}, ${gap.row_count.toLocaleString("en")} rows`;
      else tell(event.time ? known.get(event.time) : data.points.at(-1));
    });
  };
  // Small prices need more digits than two.
  const precision = (data, known, at) => {
    const some = [...known.values()].slice(0, 50).map((row) => Math.abs(Number(row[data.is_candles ? at.close : at.value]))).filter((value) => value > 0);
    const most = some.length ? Math.max(...some) : 1;
    const digits = Math.min(10, Math.max(2, 3 - Math.floor(Math.log10(most))));
    return { priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } };
  };
  // Of bars all places are there, so that what is missing leaves room.
  const timesOf = (data, known) => {
    const times = new Set(known.keys());
    if (data.is_candles && data.length_s < 604800 && known.size) {
      const first = Math.min(...known.keys()), last = Math.max(...known.keys(), ...data.gaps.map((gap) => Math.min(stamp(gap.gap_end), stamp(data.end)) - 1));
      if ((last - first) / data.length_s < 3000) for (let time = first; time <= last; time += data.length_s) times.add(time);
    }
    return [...times].sort((a, b) => a - b);
  };
  // Both are sorted, so each is walked once.
  const shadesOf = (data, times) => {
    const gaps = data.gaps.map((gap) => ({ start: stamp(gap.gap_start), end: stamp(gap.gap_end), color: shade(gap.status === "open" ? "open" : "explained") }));
    const found = [];
    let next = 0;
    for (const time of times) {
      while (next < gaps.length && gaps[next].end <= time) next++;
      if (next < gaps.length && gaps[next].start < time + data.length_s) found.push({ time, value: 1, color: gaps[next].color });
    }
    return found;
  };

  const make = (isCandles) => {
    if (chart) { chart.remove(); }
    const { createChart, createSeriesMarkers, CandlestickSeries, LineSeries, HistogramSeries } = LightweightCharts;
    chart = createChart(box, options());
    shades = chart.addSeries(HistogramSeries, { priceScaleId: "gaps", lastValueVisible: false, priceLineVisible: false });
    chart.priceScale("gaps").applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
    shades.applyOptions({ autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }) });
    volume = isCandles ? chart.addSeries(HistogramSeries, { priceScaleId: "volume", color: `${colour("soft")}44`, priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false }) : null;
    volume?.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    main = isCandles
      ? chart.addSeries(CandlestickSeries, { upColor: colour("up"), downColor: colour("down"), wickUpColor: colour("up"), wickDownColor: colour("down"), borderVisible: false })
      : chart.addSeries(LineSeries, { color: colour("archived"), lineWidth: 2 });
    marks = createSeriesMarkers(main, []);
    chart.timeScale().subscribeVisibleTimeRangeChange(zoomed);
  };
  // Who looks closer gets finer points.
  let timer = 0;
  const zoomed = (range) => {
    clearTimeout(timer);
    if (!range || isOurs || !shown || shown.length_s <= 60) return;
    timer = setTimeout(() => {
      if ((range.to - range.from) / shown.length_s > 250) return;
      load({ from: new Date(range.from * 1000).toISOString(), to: new Date((range.to + shown.length_s) * 1000).toISOString() });
    }, 500);
  };
  const offer = (data) => {
    if (data.is_candles || columns.querySelector("option")) return;
    const select = columns.querySelector("select");
    for (const name of data.columns) select.append(new Option(name, name, false, name === data.column));
    select.addEventListener("change", () => { shown.chosen = select.value; load(shown.span); });
    columns.hidden = data.columns.length < 2;
  };

  const DAY = 86400000;
  document.querySelectorAll("[data-days]").forEach((button) => button.addEventListener("click", () => {
    document.querySelectorAll("[data-days]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    const days = Number(button.dataset.days);
    const last = shown ? Date.parse(shown.last ?? shown.end) : Date.now();
    load(days ? { from: new Date(last - days * DAY).toISOString() } : { from: "first" });
  }));
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
    const text = button.closest("figure").querySelector("pre").textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; } catch { button.textContent = "select it, then copy"; }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  }));
  document.addEventListener("theme", () => { if (shown) show(shown); });
  const asked = new URLSearchParams(location.search);
  load({ from: asked.get("from"), to: asked.get("to") });
})();
