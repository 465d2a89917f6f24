// Draws the coverage map: a row for each series, a cell for each month or day. Only the rows that
// can be seen are drawn, so that thousands are no burden.
"use strict";
(() => {
  const ROW = 18, HEAD = 26, GAP = 1;
  const box = document.getElementById("map");
  if (!box) return;
  const canvas = document.getElementById("map-canvas"), labels = document.getElementById("map-labels");
  const space = document.getElementById("map-space"), tip = document.getElementById("tip");
  const said = document.getElementById("map-said");
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const root = document.body.dataset.root, isServed = root !== undefined;
  const states = Object.fromEntries(data.states.map((state) => [state.letter, state]));
  const first = new Date(data.first);
  const asOf = new URLSearchParams(location.search).get("as_of");
  const numbers = new Map();
  let rows = [], labelWidth = 0, cellWidth = 0, colours = {}, cursor = null, asking = 0;

  // `12A1Ae` is twelve archived cells, and one archived with some explained rows.
  const cellsOf = (text) => {
    const cells = [];
    for (const [, count, code] of text.matchAll(/(\d*)([A-Z.][a-z]?)/g)) {
      for (let n = Number(count || 1); n > 0; n--) cells.push(code);
    }
    return cells;
  };
  const layRows = () => {
    rows = [];
    for (const group of data.groups) {
      rows.push({ group: group.name, count: group.series.length });
      for (const [symbol, count, missing, explained, lag, isChecked, cells] of group.series) {
        rows.push({ group: group.name, symbol, count, missing, explained, lag, isChecked, text: cells });
      }
    }
  };
  const nameOf = (row) => {
    const [market, kind, interval] = row.group.split("/");
    return [market, kind, row.symbol, interval].filter(Boolean).join("/");
  };
  const query = () => (asOf ? `?as_of=${encodeURIComponent(asOf)}` : "");
  const addressOf = (row) => `${root}/series/${nameOf(row).split("/").map(encodeURIComponent).join("/")}${query()}`;
  // A day leads to its rows, a month to its days.
  const open = (place) => {
    if (data.unit === "month") return openDays(place.column);
    const span = `from=${labelOf(place.column)}&to=${openedAt(place.column + 1).toISOString().slice(0, 10)}`;
    location.assign(`${addressOf(rows[place.row])}${asOf ? "&" : "?"}${span}`);
  };
  const openedAt = (column) => (data.unit === "month"
    ? new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + column, 1))
    : new Date(first.getTime() + column * 86400000));
  const labelOf = (column) => openedAt(column).toISOString().slice(0, data.unit === "month" ? 7 : 10);

  const lay = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    colours = { text: colour("text"), soft: colour("soft"), line: colour("line"), back: colour("back"), raised: colour("raised"), accent: colour("accent") };
    for (const state of data.states) colours[state.letter] = colour(state.name);
    const width = box.clientWidth;
    labelWidth = Math.min(190, Math.max(96, width * 0.28));
    cellWidth = Math.max(5, Math.min(88, Math.floor((width - labelWidth - 12) / Math.max(data.count, 1))));
    space.style.height = `${HEAD + rows.length * ROW + 6}px`;
    space.style.width = `${labelWidth + data.count * cellWidth + 10}px`;
    space.style.marginTop = `-${height()}px`;
    draw();
  };
  const height = () => Math.min(HEAD + rows.length * ROW + 6, Math.round(innerHeight * 0.72) - 2);

  const draw = () => {
    const ratio = devicePixelRatio || 1, width = box.clientWidth, tall = height();
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(tall * ratio);
    canvas.style.width = `${width}px`; canvas.style.height = `${tall}px`;
    space.style.marginTop = `-${tall}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.fillStyle = colours.back; pen.fillRect(0, 0, width, tall);
    const from = Math.max(Math.floor((box.scrollTop) / ROW), 0);
    const until = Math.min(from + Math.ceil((tall - HEAD) / ROW) + 1, rows.length);
    pen.save(); pen.beginPath(); pen.rect(0, HEAD, width, tall - HEAD); pen.clip();
    const fragment = document.createDocumentFragment();
    for (let number = from; number < until; number++) drawRow(pen, number, fragment);
    pen.restore();
    labels.replaceChildren(fragment);
    drawHead(pen, width);
  };
  const topOf = (number) => HEAD + number * ROW - box.scrollTop;
  const leftOf = (column) => labelWidth + column * cellWidth - box.scrollLeft;

  const drawRow = (pen, number, fragment) => {
    const row = rows[number], top = topOf(number);
    const label = document.createElement(row.symbol && isServed ? "a" : "span");
    label.textContent = row.symbol ?? `${row.group} · ${row.count.toLocaleString("en")}`;
    label.style.top = `${top}px`;
    if (top < HEAD - ROW / 2) label.style.visibility = "hidden";
    if (row.symbol) {
      label.style.width = `${labelWidth - 16}px`;
      label.title = nameOf(row);
      if (isServed) { label.href = addressOf(row); label.tabIndex = -1; }
      row.cells ??= cellsOf(row.text);
      drawCells(pen, row.cells, top, number, row.isChecked);
    }
    fragment.append(label);
  };
  const drawCells = (pen, cells, top, number, isChecked) => {
    pen.save(); pen.beginPath(); pen.rect(labelWidth, 0, 1e6, 1e6); pen.clip();
    const gap = cellWidth > 6 ? GAP : 0.5;
    for (let column = 0; column < cells.length; column++) {
      const left = leftOf(column);
      if (left + cellWidth < labelWidth || left > box.clientWidth) continue;
      const code = cells[column];
      pen.fillStyle = colours[code[0]];
      pen.fillRect(left, top + 1, cellWidth - gap, ROW - 3);
      if (!isChecked && code[0] === "A") {  // nobody has looked whether rows are missing there
        pen.fillStyle = colours.back; pen.globalAlpha = 0.55; pen.fillRect(left, top + 1, cellWidth - gap, ROW - 3); pen.globalAlpha = 1;
      }
      if (code.length > 1) {
        pen.fillStyle = colours[code[1].toUpperCase()];
        pen.fillRect(left, top + ROW - 8, cellWidth - gap, 6);
      }
      if (cursor && cursor.row === number && cursor.column === column) {
        pen.strokeStyle = colours.text; pen.lineWidth = 2;
        pen.strokeRect(left, top + 1, cellWidth - gap, ROW - 3);
      }
    }
    pen.restore();
  };
  const drawHead = (pen, width) => {
    pen.fillStyle = colours.raised; pen.fillRect(0, 0, width, HEAD);
    pen.fillStyle = colours.line; pen.fillRect(0, HEAD - 1, width, 1);
    pen.font = "12px system-ui, sans-serif"; pen.fillStyle = colours.soft; pen.textBaseline = "middle";
    pen.save(); pen.beginPath(); pen.rect(labelWidth, 0, width, HEAD); pen.clip();
    let free = -1e6;
    for (let column = 0; column < data.count; column++) {
      const at = openedAt(column), left = leftOf(column);
      const isFirst = data.unit === "month" ? at.getUTCMonth() === 0 || (data.count <= 24) : true;
      if (!isFirst || left < free) continue;
      const text = data.unit === "day" ? String(at.getUTCDate())
        : data.count <= 24 ? labelOf(column) : String(at.getUTCFullYear());
      pen.fillText(text, left, HEAD / 2);
      free = left + pen.measureText(text).width + 10;
    }
    pen.restore();
  };

  const hit = (event) => {
    const place = box.getBoundingClientRect();
    const x = event.clientX - place.left, y = event.clientY - place.top;
    const number = Math.floor((y - HEAD + box.scrollTop) / ROW);
    const column = Math.floor((x - labelWidth + box.scrollLeft) / cellWidth);
    if (x < labelWidth || column < 0 || column >= data.count) return null;
    if (y < HEAD) return { column };
    return rows[number]?.symbol ? { row: number, column } : null;
  };
  const describe = (place, cells) => {
    const row = rows[place.row], code = row.cells[place.column] ?? ".";
    const lines = [`${nameOf(row)}, ${labelOf(place.column)}`];
    const mark = code.length > 1 ? `, some ${states[code[1].toUpperCase()].label}` : "";
    lines.push(`${states[code[0]].label}${mark}: ${states[code[code.length - 1].toUpperCase()].meaning}`);
    if (!row.isChecked) lines.push("not checked for gaps yet");
    const cell = cells?.get(labelOf(place.column));
    for (const [name, count] of Object.entries(cell?.rows ?? {})) {
      lines.push(`${count.toLocaleString("en")} rows ${name.replace("-", " ")}`);
    }
    const start = openedAt(place.column), end = openedAt(place.column + 1);
    const why = new Set((cells?.gaps ?? []).filter((gap) => Date.parse(gap.gap_start) < end && Date.parse(gap.gap_end) > start)
      .map((gap) => gap.explanation ?? gap.status));
    if (why.size) lines.push(`why: ${[...why].join(", ").replaceAll("_", " ")}`);
    return lines.join("\n");
  };
  const numbersOf = async (row) => {
    const name = nameOf(row);
    if (!numbers.has(name)) {
      const asked = new URLSearchParams(location.search), wanted = new URLSearchParams();
      for (const key of ["as_of", "month"]) if (asked.get(key)) wanted.set(key, asked.get(key));
      const address = `${root}/cells/${name.split("/").map(encodeURIComponent).join("/")}?${wanted}`;
      numbers.set(name, fetch(address).then((answer) => (answer.ok ? answer.json() : { cells: [] })).then(({ cells, gaps }) =>
        Object.assign(new Map(cells.map((cell) => [cell.opens.slice(0, data.unit === "month" ? 7 : 10), cell])), { gaps })));
    }
    return numbers.get(name);
  };
  const tell = (place, say) => {
    const mine = ++asking;
    say(describe(place));
    if (!isServed) return;
    setTimeout(async () => {
      if (mine !== asking) return;
      const cells = await numbersOf(rows[place.row]).catch(() => undefined);
      if (mine === asking) say(describe(place, cells));
    }, 120);
  };
  const showTip = (text, x, y) => {
    tip.textContent = text; tip.hidden = false;
    const { width, height: tall } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
    tip.style.top = `${y + 18 + tall > innerHeight ? y - tall - 10 : y + 18}px`;
  };
  const hideTip = () => { tip.hidden = true; asking++; };
  const openDays = (column) => {
    const asked = new URLSearchParams(location.search);
    asked.set("month", labelOf(column)); location.assign(`${root}/coverage?${asked}`);
  };

  box.addEventListener("mousemove", (event) => {
    const place = hit(event);
    box.style.cursor = place && isServed ? "pointer" : "";
    if (place?.row === undefined) return hideTip();
    tell(place, (text) => showTip(text, event.clientX, event.clientY));
  });
  box.addEventListener("mouseleave", hideTip);
  box.addEventListener("click", (event) => {
    const place = hit(event);
    if (!place || !isServed || event.target.tagName === "A") return;
    if (data.unit === "month" || place.row !== undefined) open(place);
  });
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-20, 0], PageDown: [20, 0], Home: [0, -1e6], End: [0, 1e6] };
  const lastOf = (row) => { row.cells ??= cellsOf(row.text); return Math.max(row.cells.findLastIndex((code) => code !== "."), 0); };
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && cursor && isServed) return open(cursor);
    hideTip();
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    let row = clamp((cursor?.row ?? 0) + (cursor ? move[0] : 1), rows.length - 1);
    while (rows[row] && !rows[row].symbol) row += move[0] < 0 && row > 0 ? -1 : 1;
    row = Math.min(row, rows.length - 1);
    const column = cursor ? cursor.column + move[1] : lastOf(rows[row]);
    cursor = { row, column: clamp(column, data.count - 1) };
    follow(); draw();
    tell(cursor, (text) => { said.textContent = text.replaceAll("\n", "; "); });
  });
  const follow = () => {
    const top = HEAD + cursor.row * ROW, left = labelWidth + cursor.column * cellWidth;
    box.scrollTop = clamp(box.scrollTop, top - HEAD);
    if (top + ROW > box.scrollTop + height()) box.scrollTop = top + ROW - height();
    if (left + cellWidth > box.scrollLeft + box.clientWidth) box.scrollLeft = left + cellWidth - box.clientWidth;
    if (left - labelWidth < box.scrollLeft) box.scrollLeft = left - labelWidth;
  };
  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  box.addEventListener("scroll", redraw, { passive: true });
  addEventListener("resize", lay);
  document.addEventListener("theme", lay);
  document.querySelector("#filter select")?.addEventListener("change", (event) => event.target.form.requestSubmit());
  layRows(); lay();
  box.scrollLeft = data.count * cellWidth;
  document.documentElement.dataset.mapDrawn = "yes";
})();
