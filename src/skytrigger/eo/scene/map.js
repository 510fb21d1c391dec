'use strict';
(() => {
  const d = JSON.parse(document.getElementById('data').textContent);
  const bytes = (t) => Uint8Array.from(atob(t), (c) => c.charCodeAt(0));
  const codes = bytes(d.codes), best = bytes(d.best), shares = bytes(d.shares), valid = bytes(d.valid), cloud = bytes(d.cloud);
  const byValue = new Map(d.classes.map((c) => [c.value, c]));
  const stage = document.getElementById('stage'), canvas = document.getElementById('canvas'), pen = canvas.getContext('2d');
  const tip = document.getElementById('tip'), scale = document.getElementById('scale').firstChild;
  const opacity = document.getElementById('opacity'), shown = document.getElementById('shown');
  const picture = new Image(), map = new Image();
  let view = {x: 0, y: 0, k: 1}, chosen = -1;

  const fit = () => {
    const k = Math.min(stage.clientWidth / d.width, stage.clientHeight / d.height);
    view = {k, x: (stage.clientWidth - d.width * k) / 2, y: (stage.clientHeight - d.height * k) / 2};
    draw();
  };

  const draw = () => {
    const ratio = window.devicePixelRatio || 1, w = stage.clientWidth, h = stage.clientHeight;
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, w, h);
    pen.save();
    pen.beginPath();
    pen.rect(view.x, view.y, d.width * view.k, d.height * view.k);
    pen.clip();
    pen.imageSmoothingEnabled = view.k * d.width < 2.5 * picture.width;
    if (picture.width) pen.drawImage(picture, view.x, view.y, d.width * view.k, d.height * view.k);
    pen.imageSmoothingEnabled = false;
    pen.globalAlpha = opacity.value / 100;
    if (map.width) pen.drawImage(map, view.x, view.y, d.columns * d.cell * view.k, d.rows * d.cell * view.k);
    pen.globalAlpha = 1;
    if (chosen >= 0) {
      const side = d.cell * view.k, r = Math.floor(chosen / d.columns), c = chosen % d.columns;
      pen.lineWidth = 3;
      pen.strokeStyle = '#000';
      pen.strokeRect(view.x + c * side, view.y + r * side, side, side);
      pen.lineWidth = 1.2;
      pen.strokeStyle = '#fff';
      pen.strokeRect(view.x + c * side, view.y + r * side, side, side);
    }
    pen.restore();
    let metres = d.nice;
    while (metres * view.k > 220) metres /= 2;
    while (metres * view.k < 60) metres *= 2;
    scale.style.width = metres * view.k + 'px';
    scale.textContent = metres >= 1000 ? +(metres / 1000).toPrecision(4) + ' km' : +metres.toPrecision(4) + ' m';
  };

  const lonlat = (x, y) => {
    const n = d.nodes - 1, u = Math.min(Math.max(x / d.width, 0), 1) * n, v = Math.min(Math.max(y / d.height, 0), 1) * n;
    const i = Math.min(Math.floor(u), n - 1), j = Math.min(Math.floor(v), n - 1), a = u - i, b = v - j;
    const at = (r, c, k) => d.lonlat[2 * (r * d.nodes + c) + k];
    const mix = (k) => (1 - b) * ((1 - a) * at(j, i, k) + a * at(j, i + 1, k)) + b * ((1 - a) * at(j + 1, i, k) + a * at(j + 1, i + 1, k));
    const lon = mix(0);
    return [lon > 180 ? lon - 360 : lon, mix(1)];
  };

  const line = (tag, text, colour) => {
    const e = document.createElement(tag);
    if (colour) {
      const mark = document.createElement('i');
      mark.style.background = colour;
      e.append(mark);
    }
    e.append(text);
    return e;
  };

  const show = (px, py) => {
    const x = (px - view.x) / view.k, y = (py - view.y) / view.k;
    const c = Math.floor(x / d.cell), r = Math.floor(y / d.cell);
    if (x < 0 || y < 0 || x >= d.width || y >= d.height || c >= d.columns || r >= d.rows) {
      chosen = -1;
      tip.hidden = true;
      draw();
      return;
    }
    chosen = r * d.columns + c;
    const entry = byValue.get(codes[chosen]);
    tip.replaceChildren(line('b', entry ? entry.title : 'No data', entry && entry.colour));
    if (entry) {
      for (let i = 0; i < d.count; i++) {
        const k = chosen * d.count + i, other = byValue.get(best[k]);
        if (shares[k]) tip.append(line('div', shares[k] + ' %  ' + other.title, other.colour));
      }
      if (cloud[chosen]) tip.append(line('div', 'cloudy pixels: ' + cloud[chosen] + ' %'));
    }
    if (valid[chosen] < 100) tip.append(line('div', 'with data: ' + valid[chosen] + ' %'));
    const [lon, lat] = lonlat((c + 0.5) * d.cell, (r + 0.5) * d.cell);
    const ns = Math.abs(lat).toFixed(4) + '° ' + (lat < 0 ? 'S' : 'N'), ew = Math.abs(lon).toFixed(4) + '° ' + (lon < 0 ? 'W' : 'E');
    tip.append(line('div', ns + ', ' + ew));
    tip.append(line('div', 'row ' + r + ', column ' + c + '; ' + d.crs + ' ' + Math.round(d.left + (c + 0.5) * d.cell) + ', ' + Math.round(d.top - (r + 0.5) * d.cell)));
    tip.hidden = false;
    tip.style.left = Math.max(0, Math.min(px + 16, stage.clientWidth - tip.offsetWidth - 4)) + 'px';
    tip.style.top = Math.max(0, Math.min(py + 16, stage.clientHeight - tip.offsetHeight - 4)) + 'px';
    draw();
  };

  const zoom = (by, px, py) => {
    const low = 0.5 * Math.min(stage.clientWidth / d.width, stage.clientHeight / d.height);
    const k = Math.min(Math.max(view.k * by, low), 200 / d.cell), f = k / view.k;
    view = {k, x: px - (px - view.x) * f, y: py - (py - view.y) * f};
    draw();
  };

  let held = null;
  const place = (e) => {
    const box = stage.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  };
  stage.addEventListener('pointerdown', (e) => {
    held = {at: place(e), view: {...view}};
    stage.setPointerCapture(e.pointerId);
  });
  stage.addEventListener('pointerup', () => { held = null; });
  stage.addEventListener('pointermove', (e) => {
    const [px, py] = place(e);
    if (held) {
      view = {...held.view, x: held.view.x + px - held.at[0], y: held.view.y + py - held.at[1]};
      draw();
    } else show(px, py);
  });
  stage.addEventListener('pointerleave', () => { chosen = -1; tip.hidden = true; draw(); });
  stage.addEventListener('wheel', (e) => {
    e.preventDefault();
    zoom(Math.exp(-e.deltaY / 400), ...place(e));
  }, {passive: false});
  stage.addEventListener('keydown', (e) => {
    const step = {ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40]}[e.key];
    if (step) { view.x += step[0]; view.y += step[1]; draw(); }
    else if (e.key === '+' || e.key === '-') zoom(e.key === '+' ? 1.25 : 0.8, stage.clientWidth / 2, stage.clientHeight / 2);
    else return;
    e.preventDefault();
  });
  opacity.addEventListener('input', () => { shown.textContent = opacity.value + ' %'; draw(); });
  document.getElementById('reset').addEventListener('click', fit);
  window.addEventListener('resize', fit);

  const most = Math.max(1e-9, ...d.classes.map((c) => c.area)), body = document.querySelector('#areas tbody');
  const km2 = (v) => v.toLocaleString('en', {maximumFractionDigits: v < 10 ? 2 : 0});
  for (const c of d.classes) {
    const row = document.createElement('tr'), name = line('td', c.title, c.colour), area = line('td', km2(c.area));
    area.className = 'n';
    if (c.interval) area.append(line('small', km2(c.interval[0]) + ' to ' + km2(c.interval[1])));
    const bar = document.createElement('td'), fill = document.createElement('span');
    bar.className = 'bar';
    fill.style.width = 100 * c.area / most + '%';
    fill.style.background = c.colour;
    if (c.area) bar.append(fill);
    row.append(name, area, bar);
    body.append(row);
  }
  if (d.source) document.getElementById('error').textContent = 'Small figures: 95 % intervals of the true area that the confusion of ' + d.source + ' implies.';

  picture.onload = map.onload = draw;
  picture.src = d.picture;
  map.src = d.map;
  fit();
})();
