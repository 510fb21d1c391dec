'use strict';
(() => {
  const d = JSON.parse(document.getElementById('data').textContent);
  const bytes = (t) => Uint8Array.from(atob(t), (c) => c.charCodeAt(0));
  const before = bytes(d.before), after = bytes(d.after), percent = bytes(d.percent), sign = bytes(d.sign);
  const byValue = new Map(d.classes.map((c) => [c.value, c]));
  const stage = document.getElementById('stage'), canvas = document.getElementById('canvas'), pen = canvas.getContext('2d');
  const tip = document.getElementById('tip'), radios = [...document.querySelectorAll('input[name=layer]')];
  const pictures = {};
  let view = {x: 0, y: 0, k: 1}, layer = 'changed', chosen = -1;

  const draw = () => {
    const ratio = window.devicePixelRatio || 1, w = stage.clientWidth, h = stage.clientHeight;
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.imageSmoothingEnabled = false;
    if (pictures[layer].width) pen.drawImage(pictures[layer], view.x, view.y, d.columns * view.k, d.rows * view.k);
    if (layer === 'changed') {
      for (let i = 0; i < sign.length; i++) {
        const s = d.signs[sign[i]];
        if (!s) continue;
        pen.fillStyle = s[1];
        pen.beginPath();
        pen.arc(view.x + (i % d.columns + 0.5) * view.k, view.y + (Math.floor(i / d.columns) + 0.5) * view.k, Math.max(1, view.k / 4), 0, 7);
        pen.fill();
      }
    }
    if (chosen >= 0) {
      pen.lineWidth = 2;
      pen.strokeStyle = '#000';
      pen.strokeRect(view.x + chosen % d.columns * view.k, view.y + Math.floor(chosen / d.columns) * view.k, view.k, view.k);
    }
  };

  const fit = () => {
    const k = Math.min(stage.clientWidth / d.columns, stage.clientHeight / d.rows);
    view = {k, x: (stage.clientWidth - d.columns * k) / 2, y: (stage.clientHeight - d.rows * k) / 2};
    draw();
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
    const c = Math.floor((px - view.x) / view.k), r = Math.floor((py - view.y) / view.k);
    chosen = c >= 0 && r >= 0 && c < d.columns && r < d.rows ? r * d.columns + c : -1;
    tip.hidden = chosen < 0;
    if (chosen >= 0) {
      const entry = (code) => byValue.get(code) || {title: 'No data'};
      const a = entry(before[chosen]), b = entry(after[chosen]);
      tip.replaceChildren(line('div', 'before: ' + a.title, a.colour), line('div', 'after: ' + b.title, b.colour));
      tip.append(line('b', percent[chosen] <= 100 ? 'probability of change ' + percent[chosen] + ' %' : 'not compared'));
      const s = d.signs[sign[chosen]];
      if (s) tip.append(line('div', 'sign: ' + s[0], s[1]));
      tip.append(line('div', 'row ' + r + ', column ' + c));
      tip.style.left = Math.max(0, Math.min(px + 16, stage.clientWidth - tip.offsetWidth - 4)) + 'px';
      tip.style.top = Math.max(0, Math.min(py + 16, stage.clientHeight - tip.offsetHeight - 4)) + 'px';
    }
    draw();
  };

  const zoom = (by, px, py) => {
    const k = Math.min(Math.max(view.k * by, 0.5 * Math.min(stage.clientWidth / d.columns, stage.clientHeight / d.rows)), 200);
    view = {k, x: px - (px - view.x) * k / view.k, y: py - (py - view.y) * k / view.k};
    draw();
  };

  const choose = (name) => {
    layer = name;
    for (const r of radios) r.checked = r.value === name;
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
    const named = radios[Number(e.key) - 1];
    if (step) { view.x += step[0]; view.y += step[1]; draw(); }
    else if (e.key === '+' || e.key === '-') zoom(e.key === '+' ? 1.25 : 0.8, stage.clientWidth / 2, stage.clientHeight / 2);
    else if (named) choose(named.value);
    else return;
    e.preventDefault();
  });
  for (const r of radios) r.addEventListener('change', () => choose(r.value));
  document.getElementById('reset').addEventListener('click', fit);
  window.addEventListener('resize', fit);

  for (const item of document.querySelectorAll('li[data-value]')) {
    const text = item.textContent, colour = byValue.get(Number(item.dataset.value)).colour;
    item.replaceChildren(...line('span', text, colour).childNodes);
  }
  for (const [name, uri] of Object.entries(d.pictures)) {
    pictures[name] = new Image();
    pictures[name].onload = draw;
    pictures[name].src = uri;
  }
  fit();
})();
