"use strict";
(() => {
  const root = document.getElementById("replay");
  if (!root) return;
  const d = JSON.parse(document.getElementById("page-data").textContent).replay;
  const el = (name) => document.getElementById(name);
  const typed = (text, Kind) => {
    const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Kind(raw.buffer);
  };
  const cells = {
    board: typed(d.cells.board, Uint8Array), truth: typed(d.cells.truth, Uint8Array), percent: typed(d.cells.percent, Uint8Array),
    status: typed(d.cells.status, Uint8Array), tier: typed(d.cells.tier, Uint8Array), pass: typed(d.cells.pass, Int16Array),
    value: typed(d.cells.value, Float32Array), sensed: typed(d.cells.sensed, Float32Array),
    ground: typed(d.cells.ground, Float32Array), reason: typed(d.cells.reason, Uint32Array),
  };
  const NONE = 255;
  let now = d.passes.length - 1, scene = d.first, view = "received", chosen = -1;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // ---- words
  const clock = (s) => {
    const days = Math.floor(s / 86400), h = Math.floor((s % 86400) / 3600), m = Math.floor((s % 3600) / 60);
    return `${days ? `day ${days + 1}, ` : ""}${String(h).padStart(2, "0")}:${String(m).padStart(2, "0")}`;
  };
  const long = (s) => (s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);
  const si = (v, unit) => {
    const steps = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
    const [by, mark] = steps.find(([n]) => Math.abs(v) >= n) || [1, ""];
    return `${+(v / by).toPrecision(3)} ${mark}${unit}`;
  };
  const passName = (p) => `pass ${p.pass} over ${p.station}, ${clock(p.t_start_s)}${p.missed ? ", missed" : ""}`;

  // ---- time lines
  const NS = "http://www.w3.org/2000/svg";
  const add = (parent, tag, facts, text) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(facts)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const m = d.memory, last = m.t.length - 1;
  const span = last > 0 ? [m.t[0], m.t[last]] : [0, 1];
  const ticks = (high, count) => {
    const raw = high / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw);
    return Array.from({ length: Math.floor(high / step + 1e-9) + 1 }, (_, i) => i * step);
  };
  const drawTime = () => {
    const holder = el("timeline");
    const width = Math.max(320, holder.clientWidth || 900), left = 56, right = width - 8, bands = [30, 130], powers = [168, 238];
    const strip = [258, 274, 290], height = 318;
    const x = (t) => left + ((t - span[0]) / (span[1] - span[0])) * (right - left);
    holder.replaceChildren();
    const svg = add(holder, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": d.time_words });
    const runs = (values, draw) => {
      for (let i = 0; i <= last; i++) {
        if (!values[i]) continue;
        const start = i;
        while (i < last && values[i + 1]) i++;
        draw(m.t[start], m.t[Math.min(last, i + 1)]);
      }
    };
    runs(m.eclipse, (a, b) => add(svg, "rect", { x: x(a), y: bands[0], width: Math.max(0.5, x(b) - x(a)), height: powers[1] - bands[0], class: "night" }));
    const near = (most, limit) => limit && most > 0.3 * limit; // else the curve would lie flat below its limit
    const told = (name, values, limit, unit) => {
      const most = values.reduce((a, b) => Math.max(a, b), 0);
      return limit ? `${name} (${near(most, limit) ? "dashed: " : ""}all of it ${si(limit, unit)})` : name;
    };
    const plot = (values, [top, bottom], unit, limit, title, css) => {
      const most = values.reduce((a, b) => Math.max(a, b), 1e-9), high = Math.max(most, near(most, limit) ? limit : 0) * 1.04;
      const y = (v) => bottom - (v / high) * (bottom - top);
      for (const t of ticks(high, 3)) {
        add(svg, "line", { x1: left, x2: right, y1: y(t), y2: y(t), class: "grid" });
        add(svg, "text", { x: left - 5, y: y(t) + 4, class: "tick", "text-anchor": "end" }, t ? si(t, unit) : "0");
      }
      if (near(most, limit)) add(svg, "line", { x1: left, x2: right, y1: y(limit), y2: y(limit), class: "limit" });
      const points = Array.from(values, (v, i) => `${x(m.t[i]).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
      if (css === "area") add(svg, "polygon", { points: `${x(span[0])},${bottom} ${points} ${x(span[1])},${bottom}`, class: css });
      else add(svg, "polyline", { points, class: css });
      add(svg, "text", { x: left, y: top - 8, class: "title" }, title);
    };
    plot(m.bit, bands, "bit", d.memory_bit, told("Memory", m.bit, d.memory_bit, "bit"), "area");
    plot(m.joule, powers, "J", d.battery_J, told("Battery", m.joule, d.battery_J, "J"), "level");
    runs(m.imaging, (a, b) => add(svg, "rect", { x: x(a), y: strip[0] - 8, width: Math.max(1, x(b) - x(a)), height: 9, class: "imaging" }));
    for (const [name, y] of [["imaging", strip[0]], ["passes", strip[1]]])
      add(svg, "text", { x: left - 5, y, class: "tick", "text-anchor": "end" }, name);
    d.passes.forEach((p, i) => {
      const css = `window${p.missed ? " missed" : ""}${i === now ? " now" : ""}`;
      add(svg, "rect", { x: x(p.t_start_s), y: strip[1] - 9, width: Math.max(2, x(p.t_end_s) - x(p.t_start_s)), height: 10, class: css });
    });
    if (d.passes[now]) {
      const at = x(d.passes[now].t_end_s);
      add(svg, "line", { x1: at, x2: at, y1: bands[0] - 4, y2: strip[1] + 1, class: "now-line" });
    }
    const hours = (span[1] - span[0]) / 3600, every = [1, 2, 3, 6, 12, 24, 48].find((h) => hours / h <= width / 80) || 96;
    for (let h = Math.ceil(span[0] / 3600 / every) * every; h * 3600 <= span[1]; h += every)
      add(svg, "text", { x: x(h * 3600), y: strip[2] + 8, class: "tick", "text-anchor": x(h * 3600) > right - 14 ? "end" : "middle" }, `${h} h`);
    const cursor = add(svg, "line", { x1: 0, x2: 0, y1: bands[0], y2: strip[1], class: "cursor" });
    const place = (t, px, py) => {
      let low = 0, high = last;
      while (low < high) {
        const mid = (low + high + 1) >> 1;
        if (m.t[mid] <= t) low = mid;
        else high = mid - 1;
      }
      cursor.setAttribute("x1", x(m.t[low]));
      cursor.setAttribute("x2", x(m.t[low]));
      cursor.style.visibility = "visible";
      const over = d.passes.find((p) => t >= p.t_start_s && t <= p.t_end_s);
      const words = [clock(m.t[low]) + (m.eclipse[low] ? ", eclipse" : ""), `memory ${si(m.bit[low], "bit")}, ${m.items[low].toLocaleString("en")} items`,
        `battery ${si(m.joule[low], "J")}`, m.imaging[low] ? "imaging" : "", over ? passName(over) : ""];
      show(words.filter(Boolean).join("\n"), px, py);
    };
    const follow = (e) => {
      const box = svg.getBoundingClientRect();
      const t = span[0] + ((((e.clientX - box.left) / box.width) * width - left) / (right - left)) * (span[1] - span[0]);
      return Math.max(span[0], Math.min(span[1], t));
    };
    svg.addEventListener("pointermove", (e) => place(follow(e), e.clientX, e.clientY));
    svg.addEventListener("pointerleave", () => { cursor.style.visibility = "hidden"; hide(); });
    svg.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
      if (!step) return;
      e.preventDefault();
      go(now + step);
      holder.firstChild.focus();
    });
    svg.addEventListener("click", (e) => {
      const t = follow(e);
      const near = d.passes.map((p) => Math.max(p.t_start_s - t, t - p.t_end_s, 0));
      if (near.length) go(near.indexOf(Math.min(...near)));
    });
  };
  const tip = el("tip");
  const show = (text, px, py) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(px + 12, innerWidth - box.width - 4))}px`;
    tip.style.top = `${py + 16 + box.height > innerHeight ? Math.max(4, py - box.height - 10) : py + 16}px`;
  };
  const hide = () => { tip.hidden = true; };

  // ---- maps
  const here = (k) => cells.pass[k] >= 0 && cells.pass[k] <= now;
  // the moment that the slider stands for; the last pass stands for the mission's end
  const until = () => (now >= d.passes.length - 1 ? Infinity : now < 0 ? d.passes[0].t_start_s : d.passes[now].t_end_s);
  const fill = (k) => {
    const code = cells.board[k];
    if (code === NONE || cells.sensed[k] > until() || (view === "received" && !here(k))) return null;
    if (view === "status") return cells.status[k] === NONE ? null : d.statuses[statusNow(k)].colour;
    if (view === "truth") return cells.truth[k] === NONE ? null : d.classes[cells.truth[k]].colour;
    return d.classes[code].colour;
  };
  // what was sent later than the chosen pass still waits; when a tile was evicted or dropped is not known
  const statusNow = (k) => (d.statuses[cells.status[k]].key === "sent" && !here(k) ? d.waiting : cells.status[k]);
  const paint = (canvas, s, side, marks) => {
    const ratio = marks ? window.devicePixelRatio || 1 : 1;
    canvas.width = Math.round(s.columns * side * ratio);
    canvas.height = Math.round(s.rows * side * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const empty = colour("panel"), line = colour("line"), ink = colour("ink");
    const gap = marks && side > 8 ? 1 : 0;
    for (let i = 0; i < s.rows * s.columns; i++) {
      const k = s.at + i, x = (i % s.columns) * side, y = Math.floor(i / s.columns) * side, paintWith = fill(k);
      pen.fillStyle = paintWith || empty;
      pen.fillRect(x, y, side - gap, side - gap);
      if (!marks) continue;
      if (!paintWith && cells.board[k] !== NONE && cells.sensed[k] <= until()) {
        pen.strokeStyle = line;
        pen.lineWidth = 1;
        pen.beginPath();
        pen.moveTo(x + 1, y + side - 2);
        pen.lineTo(x + side - 2, y + 1);
        pen.stroke();
      } else if (paintWith && here(k) && view === "received" && d.tiers[cells.tier[k]].mark) {
        pen.fillStyle = "#fff";
        pen.strokeStyle = "#000";
        pen.lineWidth = 0.7;
        pen.beginPath();
        pen.arc(x + side / 2, y + side / 2, Math.max(1.5, side * d.tiers[cells.tier[k]].mark), 0, 7);
        pen.fill();
        pen.stroke();
      }
      if (k === chosen) {
        pen.strokeStyle = ink;
        pen.lineWidth = 3;
        pen.strokeRect(x + 1, y + 1, side - 2 - gap, side - 2 - gap);
      }
    }
  };
  const stage = el("stage"), canvas = el("map");
  const side = () => Math.max(6, Math.min(36, Math.floor(stage.clientWidth / d.scenes[scene].columns)));
  const drawMap = () => {
    const s = d.scenes[scene];
    if (!s) return;
    paint(canvas, s, side(), true);
    canvas.style.width = `${s.columns * side()}px`;
    canvas.style.margin = "0 auto";
    let known = 0, all = 0;
    for (let k = s.at; k < s.at + s.rows * s.columns; k++) {
      if (cells.board[k] === NONE) continue;
      all++;
      known += here(k);
    }
    const where = s.lon === null ? "" : ` · ${Math.abs(s.lat).toFixed(2)}° ${s.lat < 0 ? "S" : "N"}, ${Math.abs(s.lon).toFixed(2)}° ${s.lon < 0 ? "W" : "E"}`;
    const sensed = s.t > until() ? `not sensed before ${clock(s.t)}` : `sensed ${clock(s.t)}`;
    el("stage-words").textContent = `${s.name}${where} · ${sensed} · ${known} of ${all} tiles on the ground (${((100 * known) / Math.max(1, all)).toFixed(0)} %)`;
    stage.setAttribute("aria-label", `Map of ${s.name}: arrow keys choose a tile, its story stands beside it`);
  };
  const globe = el("globe");
  const drawGlobe = () => {
    if (!globe) return;
    const ratio = window.devicePixelRatio || 1, w = globe.parentElement.clientWidth, h = w / 2;
    globe.width = w * ratio;
    globe.height = h * ratio;
    globe.style.height = `${h}px`;
    const pen = globe.getContext("2d"), x = (lon) => ((lon + 180) / 360) * w, y = (lat) => ((90 - lat) / 180) * h;
    pen.scale(ratio, ratio);
    pen.strokeStyle = colour("line");
    pen.fillStyle = colour("soft");
    pen.font = "10px system-ui, sans-serif";
    for (let lon = -120; lon < 180; lon += 60) { pen.beginPath(); pen.moveTo(x(lon), 0); pen.lineTo(x(lon), h); pen.stroke(); if (lon) pen.fillText(`${Math.abs(lon)}° ${lon < 0 ? "W" : "E"}`, x(lon) + 2, h - 3); }
    for (let lat = -60; lat < 90; lat += 30) { pen.beginPath(); pen.moveTo(0, y(lat)); pen.lineTo(w, y(lat)); pen.stroke(); pen.fillText(lat ? `${Math.abs(lat)}° ${lat < 0 ? "S" : "N"}` : "equator", 2, y(lat) - 2); }
    for (const [lon, lat, all, brought] of d.world) {
      const share = brought.reduce((sum, [p, n]) => sum + (p <= now ? n : 0), 0) / Math.max(1, all);
      pen.beginPath();
      pen.arc(x(lon), y(lat), 3, 0, 7);
      pen.strokeStyle = colour("soft");
      pen.stroke();
      pen.globalAlpha = share;
      pen.fillStyle = colour("t-first");
      pen.fill();
      pen.globalAlpha = 1;
    }
    const s = d.scenes[scene];
    if (s && s.lon !== null) {
      pen.strokeStyle = colour("t-second");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x(s.lon), y(s.lat), 7, 0, 7);
      pen.stroke();
    }
  };
  if (globe) globe.addEventListener("click", (e) => {
    const box = globe.getBoundingClientRect();
    const lon = ((e.clientX - box.left) / box.width) * 360 - 180, lat = 90 - ((e.clientY - box.top) / box.height) * 180;
    const far = d.scenes.map((s) => (s.lon === null ? 1e9 : Math.hypot(s.lon - lon, s.lat - lat)));
    if (far.length) pick(far.indexOf(Math.min(...far)));
  });

  // ---- why
  const line = (tag, text, mark) => {
    const node = document.createElement(tag);
    if (mark) {
      const i = document.createElement("i");
      i.style.background = mark;
      node.append(i);
    }
    node.append(text);
    return node;
  };
  const why = (k) => {
    const box = el("why"), s = d.scenes[scene];
    if (!s || k < 0 || cells.board[k] === NONE) {
      box.replaceChildren(line("p", "Point at a tile, or choose one with the arrow keys, to see why it was sent, kept or dropped."));
      return;
    }
    const i = k - s.at, c = d.classes[cells.board[k]], status = d.statuses[cells.status[k]], list = document.createElement("dl");
    const fact = (name, text) => list.append(line("dt", name), line("dd", text));
    fact("on board", `${c.title}, ${cells.percent[k]} %`);
    if (cells.truth[k] !== NONE) fact("in truth", d.classes[cells.truth[k]].title + (cells.truth[k] === cells.board[k] ? "" : " (the network is wrong)"));
    fact("value", String(+cells.value[k].toPrecision(3)));
    fact("tier", d.tiers[cells.tier[k]].title);
    fact("sensed", clock(cells.sensed[k]));
    if (!Number.isNaN(cells.ground[k])) fact("on the ground", `${clock(cells.ground[k])}, ${long(cells.ground[k] - cells.sensed[k])} later`);
    if (cells.pass[k] >= 0) fact("in its packets", `pass ${d.passes[cells.pass[k]] ? d.passes[cells.pass[k]].pass : cells.pass[k]}` + (here(k) ? "" : " (after the one chosen above)"));
    else if (status.key === "sent") fact("in its packets", "never arrived");
    box.replaceChildren(line("b", `${s.name}/${Math.floor(i / s.columns)}/${i % s.columns}`), line("p", `${status.title}${now < d.passes.length - 1 ? " (in the end)" : ""}`, status.colour), list, line("p", d.reasons[cells.reason[k]]));
    box.lastChild.className = "reason";
  };
  const choose = (k) => {
    chosen = k;
    why(k);
    drawMap();
  };
  const at = (e) => {
    const s = d.scenes[scene], box = canvas.getBoundingClientRect();
    const c = Math.floor(((e.clientX - box.left) / box.width) * s.columns), r = Math.floor(((e.clientY - box.top) / box.height) * s.rows);
    return c >= 0 && r >= 0 && c < s.columns && r < s.rows ? s.at + r * s.columns + c : -1;
  };
  let pinned = false;
  canvas.addEventListener("pointermove", (e) => { if (!pinned) choose(at(e)); });
  canvas.addEventListener("click", (e) => { const k = at(e); pinned = !(pinned && k === chosen) && k >= 0; choose(k); });
  stage.addEventListener("keydown", (e) => {
    const s = d.scenes[scene], step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -s.columns, ArrowDown: s.columns }[e.key];
    if (!step) return;
    e.preventDefault();
    pinned = true;
    const i = chosen < s.at || chosen >= s.at + s.rows * s.columns ? 0 : chosen - s.at + step;
    if (i >= 0 && i < s.rows * s.columns) choose(s.at + i);
  });

  // ---- scenes, slider, views
  const thumbs = d.scenes.map((s, i) => {
    const button = document.createElement("button"), small = document.createElement("canvas");
    button.className = "thumb";
    button.type = "button";
    button.append(small, s.name.length > 12 ? `…${s.name.slice(-10)}` : s.name);
    button.title = s.name;
    button.addEventListener("click", () => pick(i));
    el("thumbs").append(button);
    return [button, small];
  });
  const drawThumbs = () => thumbs.forEach(([button, small], i) => {
    const s = d.scenes[i], by = Math.max(1, Math.round(56 / Math.max(s.columns, s.rows)));
    paint(small, s, by, false);
    button.setAttribute("aria-pressed", String(i === scene));
  });
  const pick = (i) => {
    scene = i;
    pinned = false;
    choose(-1);
    drawThumbs();
    drawGlobe();
  };
  const range = el("pass"), said = el("pass-words");
  const go = (i) => {
    now = Math.max(-1, Math.min(d.passes.length - 1, i));
    range.value = now;
    const p = d.passes[now];
    said.textContent = p ? `After ${passName(p)}: ${p.arrived.toLocaleString("en")} tiles are known on the ground` : "Before the first pass";
    range.setAttribute("aria-valuetext", said.textContent);
    drawTime();
    drawMap();
    drawThumbs();
    drawGlobe();
    why(chosen);
  };
  range.addEventListener("input", () => go(Number(range.value)));
  el("play").addEventListener("click", () => {
    if (timer) return stop();
    if (now >= d.passes.length - 1) go(-1);
    el("play").textContent = "Stop";
    timer = setInterval(() => { if (now >= d.passes.length - 1) stop(); else go(now + 1); }, 700);
  });
  let timer = 0;
  const stop = () => { clearInterval(timer); timer = 0; el("play").textContent = "Play"; };
  const legend = () => {
    const list = view === "status" ? d.statuses : d.classes;
    el("legend").replaceChildren(...list.filter((c) => c.shown).map((c) => line("li", c.title, c.colour)), ...(view === "received" ? [line("li", "○ with its pixels (small: lossy)"), line("li", "╱ sensed, not received")] : []));
  };
  for (const button of document.querySelectorAll(".views button")) button.addEventListener("click", () => {
    view = button.dataset.view;
    document.querySelectorAll(".views button").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
    legend();
    drawMap();
    drawThumbs();
  });
  const redraw = () => { drawTime(); if (d.scenes.length) { drawMap(); drawThumbs(); drawGlobe(); } };
  window.addEventListener("resize", redraw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  legend();
  go(now);
})();
