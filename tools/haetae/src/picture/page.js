
"use strict";
(() => {
  const the = (id) => document.getElementById(id);
  const data = JSON.parse(the("data").textContent);
  const stage = the("stage");
  const panel = the("panel");
  const hint = panel.firstElementChild;
  let view;
  let chosen = null;

  // Views: the same flow, with groups and without.

  const views = data.views.map((told) => {
    const svg = the("view-" + told.name);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const nodes = [...svg.querySelectorAll("[data-n]")].sort((a, b) => a.dataset.n - b.dataset.n);
    const links = [];
    svg.querySelectorAll("[data-l]").forEach((link) => { links[Number(link.dataset.l)] = link; });
    return { told, svg, nodes, links, width, height, box: null };
  });

  function show(next) {
    views.forEach((other) => { other.svg.toggleAttribute("hidden", other !== next); });
    view = next;
    choose(null);
    filter();
    map();
    if (view.box) mark();
    else begin();
    const expand = the("expand");
    if (expand) {
      expand.textContent = view.told.name === "grouped" ? "expand groups" : "group again";
    }
  }

  // Moving and zooming: the part of the picture that is seen.

  function see(x, y, width, height) {
    view.box = { x, y, width, height };
    view.svg.setAttribute("viewBox", [x, y, width, height].join(" "));
    mark();
  }

  function fit() {
    see(0, 0, view.width, view.height);
  }

  /** All of it where that can be read; else where the money starts, and the map shows the rest. */
  function begin() {
    fit();
    const legible = 0.3;
    const readable = 0.5;
    if (!view.nodes.length || scale() >= legible) return;
    const { width, height } = stage.getBoundingClientRect();
    const first = placeOf(view.nodes[0]);
    see(0, first.y + first.height / 2 - height / readable / 2, width / readable, height / readable);
  }

  /** Where a box or a line stands: its own numbers are those within the room around the flow. */
  function placeOf(element) {
    const { x, y, width, height } = element.getBBox();
    const room = 24;
    return { x: x + room, y: y + room, width, height };
  }

  // The map: every box, and the part that is seen.

  function draw(kind, at, parent) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const name of ["x", "y", "width", "height"]) rect.setAttribute(name, at[name]);
    rect.setAttribute("class", kind);
    parent.append(rect);
    return rect;
  }

  let seen = null;

  function map() {
    const map = the("map");
    map.setAttribute("viewBox", [0, 0, view.width, view.height].join(" "));
    map.replaceChildren();
    view.nodes.forEach((element) => draw(element.getAttribute("class"), placeOf(element), map));
    seen = draw("seen", { x: 0, y: 0, width: 0, height: 0 }, map);
  }

  function mark() {
    if (!seen) return;
    const { width, height } = stage.getBoundingClientRect();
    const size = scale();
    const part = (from, length, across, all) => {
      const middle = from + length / 2;
      const [begin, end] = [Math.max(0, middle - across / 2), Math.min(all, middle + across / 2)];
      return [begin, Math.max(0, end - begin)];
    };
    const [x, wide] = part(view.box.x, view.box.width, width / size, view.width);
    const [y, high] = part(view.box.y, view.box.height, height / size, view.height);
    Object.entries({ x, y, width: wide, height: high }).forEach(([name, value]) => seen.setAttribute(name, value));
    the("map").toggleAttribute("hidden", wide > view.width * 0.95 && high > view.height * 0.95);
  }

  the("map").addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    const matrix = the("map").getScreenCTM();
    if (!matrix) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const { width, height } = view.box;
    see(at.x - width / 2, at.y - height / 2, width, height);
  });

  function scale() {
    const { width, height } = stage.getBoundingClientRect();
    return Math.min(width / view.box.width, height / view.box.height) || 1;
  }

  function zoom(factor, at) {
    const now = scale();
    const next = Math.min(4, Math.max(0.02, now * factor));
    const by = now / next;
    const { x, y, width, height } = view.box;
    const centre = at || { x: x + width / 2, y: y + height / 2 };
    see(centre.x - (centre.x - x) * by, centre.y - (centre.y - y) * by, width * by, height * by);
  }

  function move(right, down) {
    const { x, y, width, height } = view.box;
    see(x + right, y + down, width, height);
  }

  function inPicture(event) {
    const matrix = view.svg.getScreenCTM();
    return matrix ? new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse()) : null;
  }

  /** Brings an element into the middle, large enough to be read. */
  function bring(element) {
    const at = placeOf(element);
    const { width, height } = stage.getBoundingClientRect();
    const size = Math.max(scale(), 0.8);
    see(at.x + at.width / 2 - width / size / 2, at.y + at.height / 2 - height / size / 2, width / size, height / size);
  }

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), inPicture(event));
  }, { passive: false });

  let grip = null;
  let dragged = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    grip = { x: event.clientX, y: event.clientY };
    dragged = false;
  });
  window.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const right = event.clientX - grip.x;
    const down = event.clientY - grip.y;
    if (!dragged && Math.hypot(right, down) < 4) return;
    dragged = true;
    stage.classList.add("moving");
    const size = scale();
    move(-right / size, -down / size);
    grip = { x: event.clientX, y: event.clientY };
  });
  window.addEventListener("pointerup", () => {
    grip = null;
    stage.classList.remove("moving");
  });

  // Choosing, and what is told of what is chosen.

  function elementOf(what) {
    return what.node === undefined ? view.links[what.link] : view.nodes[what.node];
  }

  function toldOf(what) {
    return what.node === undefined ? view.told.links[what.link] : view.told.nodes[what.node];
  }

  function choose(what) {
    view.svg.querySelectorAll(".chosen").forEach((element) => element.classList.remove("chosen"));
    chosen = what;
    for (const id of ["upstream", "downstream", "clear"]) {
      the(id).disabled = !what && id !== "clear";
      the(id).setAttribute("aria-pressed", "false");
    }
    if (!what) {
      light(null);
      overview();
      return;
    }
    elementOf(what).classList.add("chosen");
    const nodes = new Set();
    const links = new Set();
    if (what.node === undefined) {
      const link = view.told.links[what.link];
      links.add(what.link);
      nodes.add(link.from).add(link.to);
    } else {
      nodes.add(what.node);
      view.told.links.forEach((link, at) => {
        if (link.from === what.node || link.to === what.node) {
          links.add(at);
          nodes.add(link.from).add(link.to);
        }
      });
    }
    light({ nodes, links });
    tell(toldOf(what));
  }

  function light(on) {
    view.svg.classList.toggle("choosing", Boolean(on));
    view.nodes.forEach((element, at) => element.classList.toggle("on", Boolean(on && on.nodes.has(at))));
    view.links.forEach((element, at) => element.classList.toggle("on", Boolean(on && on.links.has(at))));
  }

  /** Everything from which the chosen one's money can have come, or to which it can have gone, along the lines shown. */
  function follow(downstream) {
    if (!chosen) return;
    const [near, far] = downstream ? ["from", "to"] : ["to", "from"];
    const nodes = new Set();
    const links = new Set();
    const open = [];
    if (chosen.node === undefined) {
      const link = view.told.links[chosen.link];
      links.add(chosen.link);
      nodes.add(link.from).add(link.to);
      open.push(link[far]);
    } else {
      nodes.add(chosen.node);
      open.push(chosen.node);
    }
    const gone = new Set(open);
    while (open.length) {
      const node = open.pop();
      view.told.links.forEach((link, at) => {
        if (link[near] !== node || view.links[at].classList.contains("off")) return;
        links.add(at);
        nodes.add(link[far]);
        if (!gone.has(link[far])) {
          gone.add(link[far]);
          open.push(link[far]);
        }
      });
    }
    light({ nodes, links });
    the("upstream").setAttribute("aria-pressed", String(!downstream));
    the("downstream").setAttribute("aria-pressed", String(downstream));
  }

  // Everything is written as text: what is told comes from elsewhere.

  function make(tag, text, kind) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  }

  const isId = (value) => /^\S{20,}$/.test(value);

  function rows(pairs) {
    const list = make("dl");
    for (const [name, value] of pairs) {
      const cell = make("dd", value, isId(value) ? "id" : "");
      if (isId(value)) {
        const button = make("button", "copy", "copy");
        button.addEventListener("click", () => copy(value, cell, button));
        cell.append(button);
      }
      list.append(make("dt", name), cell);
    }
    return list;
  }

  /** What matters most, while nothing is chosen: what is frozen, what is held and not frozen, where it began. */
  function overview() {
    const parts = [hint];
    const sections = [
      ["What is frozen", (told) => told.frozen.length > 0],
      ["Held by exchanges, nothing ordered", (told) => told.kind === "exchange" && told.frozen.length === 0],
      ["Roots", (told) => told.kind === "root"],
      ["Contracts and services", (told) => told.kind === "contract" || told.kind === "service"],
    ];
    for (const [name, belongs] of sections) {
      const nodes = view.told.nodes.map((told, node) => ({ told, node })).filter((entry) => belongs(entry.told));
      if (!nodes.length) continue;
      parts.push(make("h3", name + " (" + nodes.length + ")"));
      for (const { told, node } of nodes) {
        const button = make("button", told.heading, "hit");
        const more = [told.what, ...told.frozen].filter((text) => text !== told.heading);
        more.forEach((text) => button.append(make("small", text)));
        button.addEventListener("click", () => { choose({ node }); bring(elementOf({ node })); });
        parts.push(button);
      }
    }
    panel.replaceChildren(...parts);
    panel.scrollTop = 0;
  }

  function tell(told) {
    const parts = [make("h2", told.heading), rows(told.rows)];
    for (const [name, items] of told.lists) {
      parts.push(make("h3", name));
      for (const item of items) {
        const block = make("div", undefined, "item");
        block.append(rows(item));
        parts.push(block);
      }
    }
    panel.replaceChildren(...parts);
    panel.scrollTop = 0;
  }

  async function copy(value, cell, button) {
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      // Where the clipboard is not to be had, the text is marked for copying by hand.
      const range = document.createRange();
      range.selectNodeContents(cell.firstChild);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1200);
  }

  stage.addEventListener("click", (event) => {
    if (dragged) return;
    if (event.target.closest("#map")) return;
    const element = event.target.closest("[data-n], [data-l]");
    if (!element) return choose(null);
    choose(element.dataset.n === undefined ? { link: Number(element.dataset.l) } : { node: Number(element.dataset.n) });
  });

  // Searching.

  function words(told) {
    const values = [told.heading, ...told.rows.map((row) => row[1])];
    for (const [, items] of told.lists) items.forEach((item) => item.forEach((row) => values.push(row[1])));
    return values.join("\n").toLowerCase();
  }

  function search() {
    const wanted = the("search").value.trim().toLowerCase();
    the("found").textContent = "";
    if (!wanted) return choose(null);
    const hits = [];
    view.told.nodes.forEach((told, node) => { if (words(told).includes(wanted)) hits.push({ node }); });
    view.told.links.forEach((told, link) => { if (words(told).includes(wanted)) hits.push({ link }); });
    choose(null);
    the("found").textContent = hits.length + " found";
    if (!hits.length) return;
    const nodes = new Set(hits.map((hit) => hit.node));
    const links = new Set(hits.map((hit) => hit.link));
    light({ nodes, links });
    const parts = [make("h2", "Found")];
    for (const hit of hits.slice(0, 100)) {
      const button = make("button", toldOf(hit).heading, "hit");
      button.addEventListener("click", () => { choose(hit); bring(elementOf(hit)); });
      parts.push(button);
    }
    panel.replaceChildren(...parts);
    return hits[0];
  }

  the("search").addEventListener("input", search);
  the("search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const first = search();
    if (first) {
      choose(first);
      bring(elementOf(first));
    }
  });

  // Assets.

  function filter() {
    const hidden = new Set([...document.querySelectorAll("[data-asset]:not(:checked)")].map((box) => Number(box.dataset.asset)));
    const linked = new Set();
    const left = new Set();
    view.told.links.forEach((link, at) => {
      const off = hidden.has(link.asset);
      view.links[at].classList.toggle("off", off);
      linked.add(link.from).add(link.to);
      if (!off) left.add(link.from).add(link.to);
    });
    view.nodes.forEach((element, at) => element.classList.toggle("off", linked.has(at) && !left.has(at)));
  }

  document.querySelectorAll("[data-asset]").forEach((box) => box.addEventListener("change", filter));

  // Buttons and keys.

  the("in").addEventListener("click", () => zoom(1.4));
  the("out").addEventListener("click", () => zoom(1 / 1.4));
  the("fit").addEventListener("click", fit);
  the("clear").addEventListener("click", () => { the("search").value = ""; the("found").textContent = ""; choose(null); });
  the("upstream").addEventListener("click", () => follow(false));
  the("downstream").addEventListener("click", () => follow(true));
  const other = () => { if (views.length > 1) show(views[(views.indexOf(view) + 1) % views.length]); };
  if (the("expand")) the("expand").addEventListener("click", other);

  const keys = {
    "+": () => zoom(1.4),
    "=": () => zoom(1.4),
    "-": () => zoom(1 / 1.4),
    "0": fit,
    "ArrowLeft": () => move(-view.box.width / 10, 0),
    "ArrowRight": () => move(view.box.width / 10, 0),
    "ArrowUp": () => move(0, -view.box.height / 10),
    "ArrowDown": () => move(0, view.box.height / 10),
    "u": () => follow(false),
    "d": () => follow(true),
    "e": other,
    "/": () => the("search").focus(),
    "Escape": () => the("clear").click(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input[type=search]");
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    const node = event.target.closest("[data-n]");
    if (node && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choose({ node: Number(node.dataset.n) });
      return;
    }
    const act = keys[event.key];
    if (act && !event.target.closest("#panel")) {
      event.preventDefault();
      act();
    }
  });
  // Printed is what belongs to the whole.
  window.addEventListener("beforeprint", fit);

  show(views[0]);
})();
