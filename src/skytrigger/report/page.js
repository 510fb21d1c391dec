"use strict";
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const tip = document.getElementById("tip");

  // Sort a table by the column whose heading is pressed; cells without a value stay at the end.
  const order = (cell) => {
    const raw = cell.dataset.order;
    if (raw === undefined) return null;
    const value = Number(raw);
    return raw !== "" && Number.isFinite(value) ? value : raw;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [order(row.cells[column]), row]);
        rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : (down ? -1 : 1) * compare(a, b)));
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  // Values of a training curve at the epoch under the pointer, or moved to with the arrow keys.
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - box.width - 4))}px`;
    tip.style.top = `${y + 16 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 16}px`;
  };
  for (const svg of document.querySelectorAll("svg[data-chart]")) {
    const chart = data.charts[svg.dataset.chart];
    if (!chart) continue;
    const [left, right, epochs] = ["left", "right", "epochs"].map((name) => Number(svg.dataset[name]));
    const cursor = svg.querySelector(".cursor");
    const width = svg.viewBox.baseVal.width;
    let at = epochs;
    const place = (epoch, clientX, clientY) => {
      at = Math.max(1, Math.min(epochs, epoch));
      const x = left + ((at - 1) / Math.max(1, epochs - 1)) * (right - left);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      cursor.style.visibility = "visible";
      const said = (v) => (v === undefined ? "–" : chart.percent ? `${(100 * v).toFixed(1)} %` : v.toPrecision(3));
      const lines = chart.lines.map((line) => `${line.name}: ${said(line.values[at - 1])}`);
      const box = svg.getBoundingClientRect();
      show([`epoch ${at}`, ...lines].join("\n"), clientX ?? box.left + (x / width) * box.width, clientY ?? box.top);
    };
    const hide = () => {
      cursor.style.visibility = "hidden";
      tip.hidden = true;
    };
    const follow = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      place(Math.round(1 + ((x - left) / (right - left)) * (epochs - 1)), event.clientX, event.clientY);
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) {
        event.preventDefault();
        place(at + step);
      } else if (event.key === "Escape") hide();
    });
  }

  // Confusion matrix of the chosen network, and its change between the two that are chosen.
  const shade = (share) => (share <= 0 ? 0 : Math.max(1, Math.min(8, Math.ceil(8 * Math.sqrt(Math.min(share, 1))))));
  const sum = (row) => row.reduce((a, b) => a + b, 0);
  const percent = (share, sign) => `${sign && share > 0 ? "+" : ""}${(100 * share).toFixed(1)}`;
  const fill = (table, cell) => {
    [...table.tBodies[0].rows].forEach((row, i) => {
      [...row.cells].slice(1).forEach((td, j) => {
        const [text, css, hint] = cell(i, j);
        td.textContent = text;
        td.className = css;
        td.title = hint;
      });
    });
  };
  for (const [key, { classes, networks, pairs }] of Object.entries(data.confusion)) {
    const section = document.getElementById(key);
    const role = (name) => section.querySelector(`[data-role="${name}"]`);

    const drawMatrix = () => {
      const { counts } = networks[role("network").value];
      const share = role("matrix-share").value === "1";
      fill(role("matrix"), (i, j) => {
        const n = counts[i][j], all = sum(counts[i]), part = n / Math.max(1, all);
        const text = n ? (share ? percent(part) : String(n)) : "";
        return [text, `${i === j ? "d" : "o"}${shade(part)}`, `${classes[i]} taken for ${classes[j]}: ${n} of ${all}`];
      });
    };

    const drawChange = () => {
      const a = Number(role("from").value), b = Number(role("to").value);
      const from = networks[a].counts, to = networks[b].counts, share = role("change-share").value === "1";
      const pair = pairs.find((p) => (p.a === a && p.b === b) || (p.a === b && p.b === a));
      const swapped = Boolean(pair) && pair.a !== a;
      const firm = new Map((pair ? pair.cells : []).map((c) => [`${c[0]},${c[1]}`, c]));
      fill(role("change"), (i, j) => {
        const n = to[i][j] - from[i][j], part = n / Math.max(1, sum(from[i]));
        const side = (n > 0) === (i === j) ? "d" : "o";
        const css = `${side}${n ? shade(Math.abs(part)) : 0}${firm.has(`${i},${j}`) ? " firm" : ""}`;
        const text = n ? (share ? percent(part, true) : `${n > 0 ? "+" : ""}${n}`) : "";
        return [text, css, `${classes[i]} taken for ${classes[j]}: ${from[i][j]} to ${to[i][j]}`];
      });
      const list = role("cells");
      list.replaceChildren();
      if (!pair) {
        role("said").textContent = a === b ? "The same network twice: nothing changes." : "Not compared.";
        return;
      }
      const f = pair.flips;
      const [gained, lost] = swapped ? [f.right_to_wrong, f.wrong_to_right] : [f.wrong_to_right, f.right_to_wrong];
      role("said").textContent =
        `${f.changed} decisions of ${pair.images} changed: ${gained} wrong to right, ${lost} right to wrong, ` +
        `${f.wrong_to_other_wrong} from one wrong class to another. ${firm.size} cells changed beyond chance.`;
      const items = [...firm.values()].map(([i, j, low, high, p]) => {
        const change = (to[i][j] - from[i][j]) / Math.max(1, sum(from[i]));
        const [lo, hi] = swapped ? [-high, -low] : [low, high];
        const item = document.createElement("li");
        item.textContent =
          `${classes[i]} → ${classes[j]}: ${from[i][j]} to ${to[i][j]} images, ${percent(change, true)} points of the ` +
          `class (${percent(lo, true)} to ${percent(hi, true)}), p = ${p.toPrecision(2)} after Holm`;
        return item;
      });
      const holder = document.createElement(items.length ? "ul" : "p");
      if (items.length) holder.append(...items);
      else holder.textContent = "No single cell's change is established.";
      list.append(holder);
    };

    role("network").addEventListener("change", drawMatrix);
    role("matrix-share").addEventListener("change", drawMatrix);
    if (role("change")) {
      for (const id of ["from", "to"]) role(id).addEventListener("change", drawChange);
      role("change-share").addEventListener("change", drawChange);
    }
  }
})();
