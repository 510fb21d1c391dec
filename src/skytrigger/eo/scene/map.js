'use strict';
(() => {
  const d = JSON.parse(document.getElementById('data').textContent);
  const codes = bytes(d.codes), best = bytes(d.best), shares = bytes(d.shares), valid = bytes(d.valid), cloud = bytes(d.cloud);
  const byValue = new Map(d.classes.map((c) => [c.value, c]));
  const stage = openStage(d.width, d.height, 200 / d.cell), {view, pen, tip} = stage;
  const scale = document.getElementById('scale').firstChild;
  const opacity = document.getElementById('opacity'), shown = document.getElementById('shown');
  const picture = new Image(), map = new Image();
  let chosen = -1;

  const draw = stage.draw = () => {
    stage.clear();
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

  stage.show = (px, py) => {
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
    stage.placeTip(px, py);
    draw();
  };

  stage.leave = () => { chosen = -1; };
  opacity.addEventListener('input', () => { shown.textContent = opacity.value + ' %'; draw(); });

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
  stage.fit();
})();
