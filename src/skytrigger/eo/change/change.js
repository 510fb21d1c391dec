'use strict';
(() => {
  const d = JSON.parse(document.getElementById('data').textContent);
  const before = bytes(d.before), after = bytes(d.after), percent = bytes(d.percent), sign = bytes(d.sign);
  const byValue = new Map(d.classes.map((c) => [c.value, c]));
  const stage = openStage(d.columns, d.rows, 200), {view, pen, tip} = stage;
  const radios = [...document.querySelectorAll('input[name=layer]')];
  const pictures = {};
  let layer = 'changed', chosen = -1;

  const draw = stage.draw = () => {
    stage.clear();
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

  stage.show = (px, py) => {
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
      stage.placeTip(px, py);
    }
    draw();
  };

  const choose = (name) => {
    layer = name;
    for (const r of radios) r.checked = r.value === name;
    draw();
  };

  stage.leave = () => { chosen = -1; };
  stage.key = (key) => {
    const named = radios[Number(key) - 1];
    if (named) choose(named.value);
    return Boolean(named);
  };
  for (const r of radios) r.addEventListener('change', () => choose(r.value));

  for (const item of document.querySelectorAll('li[data-value]')) {
    const text = item.textContent, colour = byValue.get(Number(item.dataset.value)).colour;
    item.replaceChildren(...line('span', text, colour).childNodes);
  }
  for (const [name, uri] of Object.entries(d.pictures)) {
    pictures[name] = new Image();
    pictures[name].onload = draw;
    pictures[name].src = uri;
  }
  stage.fit();
})();
