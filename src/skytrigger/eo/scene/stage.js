'use strict';
// What the pages' maps share: moved and zoomed by pointer, wheel and keys, with a tip beside the cell that is pointed at.
const bytes = (t) => Uint8Array.from(atob(t), (c) => c.charCodeAt(0));

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

// width, height: of the map, in its own units; most: pixels of the screen a unit. A page sets draw, show(px, py), leave, key.
const openStage = (width, height, most) => {
  const box = document.getElementById('stage'), canvas = document.getElementById('canvas'), tip = document.getElementById('tip');
  const view = {x: 0, y: 0, k: 1}, pen = canvas.getContext('2d');
  const s = {view, pen, tip, draw: () => {}, show: () => {}, leave: () => {}, key: () => false};
  const least = () => Math.min(box.clientWidth / width, box.clientHeight / height);

  s.clear = () => {
    const ratio = window.devicePixelRatio || 1, w = box.clientWidth, h = box.clientHeight;
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  };
  s.fit = () => {
    const k = least();
    Object.assign(view, {k, x: (box.clientWidth - width * k) / 2, y: (box.clientHeight - height * k) / 2});
    s.draw();
  };
  s.placeTip = (px, py) => {
    tip.style.left = Math.max(0, Math.min(px + 16, box.clientWidth - tip.offsetWidth - 4)) + 'px';
    tip.style.top = Math.max(0, Math.min(py + 16, box.clientHeight - tip.offsetHeight - 4)) + 'px';
  };
  const move = (x, y) => { view.x = x; view.y = y; s.draw(); };
  const zoom = (by, px, py) => {
    const k = Math.min(Math.max(view.k * by, 0.5 * least()), most), f = k / view.k;
    view.k = k;
    move(px - (px - view.x) * f, py - (py - view.y) * f);
  };

  let held = null;
  const place = (e) => {
    const edge = box.getBoundingClientRect();
    return [e.clientX - edge.left, e.clientY - edge.top];
  };
  box.addEventListener('pointerdown', (e) => {
    held = {at: place(e), x: view.x, y: view.y};
    box.setPointerCapture(e.pointerId);
  });
  box.addEventListener('pointerup', () => { held = null; });
  box.addEventListener('pointermove', (e) => {
    const [px, py] = place(e);
    if (held) move(held.x + px - held.at[0], held.y + py - held.at[1]);
    else s.show(px, py);
  });
  box.addEventListener('pointerleave', () => { tip.hidden = true; s.leave(); s.draw(); });
  box.addEventListener('wheel', (e) => {
    e.preventDefault();
    zoom(Math.exp(-e.deltaY / 400), ...place(e));
  }, {passive: false});
  box.addEventListener('keydown', (e) => {
    const step = {ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40]}[e.key];
    if (step) move(view.x + step[0], view.y + step[1]);
    else if (e.key === '+' || e.key === '-') zoom(e.key === '+' ? 1.25 : 0.8, box.clientWidth / 2, box.clientHeight / 2);
    else if (!s.key(e.key)) return;
    e.preventDefault();
  });
  document.getElementById('reset').addEventListener('click', s.fit);
  window.addEventListener('resize', s.fit);
  return s;
};
