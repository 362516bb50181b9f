// The dependency graph, one package at a time: who needs it stands at the left, what it needs at the right. A click or
// Enter on a name makes that package the middle one; a side that is long is shown in part, until somebody wants all of
// it. Everything is text nodes and SVG: what a package is called cannot
// do anything. Colours are those of the dashboard.

const SHOWN = 14;
const ROW = 30;
const WIDTH = 960;
const BOX = 250;
// Where there is no room for three columns they stand below each other, neighbours indented along a line.
const NARROW = 620;
const NARROW_WIDTH = 340;
const INDENT = 24;

export async function mount(host) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("page.css", import.meta.url).href;
  const root = element("div", { class: "atlas" });
  host.element.append(style, root);
  const { packages, edges, made_at: madeAt } = await host.ask("/project/atlas/graph");
  if (packages.length === 0) {
    root.append(
      element("p", {}, "No scores yet. They are computed at 37 minutes past every hour, or now:"),
      element("pre", {}, "make demo"),
    );
    return undefined;
  }
  const graph = read(packages, edges);
  const label = element("label", { for: "atlas-search" }, "Find a package");
  const search = element("input", { id: "atlas-search", type: "search", class: "input", list: "atlas-names" });
  const names = element("datalist", { id: "atlas-names" });
  for (const node of graph) names.append(element("option", { value: node.name }));
  const about = element("p", { role: "status" });
  const picture = element("div", { class: "atlas-picture" });
  const top = element("ol", { class: "atlas-top" });
  root.append(
    element("div", { class: "field" }, label, search, names),
    element("h2", {}, "Most needed"),
    element("p", { class: "quiet" }, "Numbers: how many packages need one, directly or not. Choose one to see its neighbours."),
    top,
    about,
    picture,
    element("p", { class: "quiet" }, `Scores of ${new Date(madeAt).toLocaleString()}, ${packages.length} packages, ${edges.length} dependencies.`),
  );
  const buttons = new Map();
  const show = (node, whole = new Set()) => {
    search.value = node.name;
    about.replaceChildren(...facts(node));
    const hadFocus = picture.contains(document.activeElement);
    const isNarrow = picture.clientWidth > 0 && picture.clientWidth < NARROW;
    picture.replaceChildren((isNarrow ? drawNarrow : draw)(node, show, whole));
    if (hadFocus) picture.firstElementChild.focus();
    for (const [each, button] of buttons) button.setAttribute("aria-pressed", String(each === node));
    const address = new URL(window.location.href);
    address.searchParams.set("package", node.name);
    window.history.replaceState(window.history.state, "", address);
  };
  for (const node of graph.slice(0, 12)) {
    const needed = element("span", { class: "quiet" }, String(node.criticality));
    const button = element("button", { type: "button", class: "button" }, node.name, needed);
    button.addEventListener("click", () => show(node));
    buttons.set(node, button);
    top.append(element("li", {}, button));
  }
  search.addEventListener("change", () => {
    const wanted = search.value.trim().toLowerCase();
    if (wanted === "") return;
    const found = graph.find((node) => node.name.toLowerCase() === wanted)
      ?? graph.find((node) => node.name.toLowerCase().includes(wanted));
    if (found) show(found);
    else about.replaceChildren(`No package has "${search.value.trim()}" in its name.`);
  });
  const wanted = new URL(window.location.href).searchParams.get("package");
  show(graph.find((node) => node.name === wanted) ?? graph[0]);
  return undefined;
}

function read(packages, edges) {
  const graph = packages.map(([name, kind, version, licence, criticality, pony]) => ({
    name, kind, version, licence, criticality: criticality ?? 0, pony, needs: [], neededBy: [],
  }));
  for (const [from, to] of edges) {
    graph[from].needs.push(graph[to]);
    graph[to].neededBy.push(graph[from]);
  }
  const byCriticality = (a, b) => b.criticality - a.criticality || a.name.localeCompare(b.name);
  for (const node of graph) {
    node.needs.sort(byCriticality);
    node.neededBy.sort(byCriticality);
  }
  return graph;
}

function facts(node) {
  const parts = [
    `${node.version ?? "no version"}`,
    node.licence ?? "no licence said",
    `needed by ${node.criticality}, directly or not`,
    node.pony === null ? "no history read" : `${node.pony} people made half of the commits`,
  ];
  return [element("strong", {}, node.name), ` · ${parts.join(" · ")}`];
}

function sides(node, whole) {
  return [
    whole.has("left") ? node.neededBy : node.neededBy.slice(0, SHOWN),
    whole.has("right") ? node.needs : node.needs.slice(0, SHOWN),
  ];
}

function frame(node, width, height) {
  const label = `${node.neededBy.length} packages need ${node.name}; it needs ${node.needs.length}`;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label, tabindex: "-1" });
}

function others(count, x, y, go) {
  const words = `and ${count} others: show all`;
  const more = svg("g", { class: "more" });
  more.append(svg("text", { x, y }, words));
  pressable(more, words, go);
  return more;
}

function drawNarrow(node, show, whole) {
  const [left, right] = sides(node, whole);
  const lines = svg("g", { class: "lines" });
  const parts = [];
  let y = 16;
  const heading = (words) => {
    parts.push(svg("text", { x: INDENT, y: y + 4, class: "quiet" }, words));
    y += ROW;
  };
  const list = (nodes, all, side) => {
    for (const each of nodes) {
      lines.append(svg("path", { d: `M ${INDENT / 2} ${y} H ${INDENT}` }));
      parts.push(box(each, INDENT, y, () => show(each), NARROW_WIDTH - INDENT));
      y += ROW;
    }
    if (all > nodes.length) {
      parts.push(others(all - nodes.length, INDENT + 8, y + 4, () => show(node, new Set([...whole, side]))));
      y += ROW;
    }
  };
  const first = y + ROW;
  heading(`needed by ${node.neededBy.length}`);
  list(left, node.neededBy.length, "left");
  const middle = y;
  parts.push(box(node, 0, middle, null, NARROW_WIDTH));
  y += ROW;
  heading(`needs ${node.needs.length}`);
  list(right, node.needs.length, "right");
  const last = right.length > 0 ? middle + (right.length + 1) * ROW : middle;
  lines.append(svg("path", { d: `M ${INDENT / 2} ${left.length > 0 ? first : middle} V ${last}` }));
  const picture = frame(node, NARROW_WIDTH, y);
  picture.classList.add("narrow");
  picture.append(lines, ...parts);
  return picture;
}

function draw(node, show, whole) {
  const [left, right] = sides(node, whole);
  const rows = Math.max(left.length, right.length, 1);
  const height = (rows + 2) * ROW;
  const middle = height / 2;
  const picture = frame(node, WIDTH, height);
  const lines = svg("g", { class: "lines" });
  picture.append(lines);
  const heading = (x, words) => picture.append(svg("text", { x, y: 16, class: "quiet" }, words));
  heading(4, `needed by ${node.neededBy.length}`);
  heading(WIDTH - BOX, `needs ${node.needs.length}`);
  const column = (nodes, x, all, side) => {
    const first = middle - (nodes.length * ROW) / 2 + ROW / 2;
    nodes.forEach((each, index) => {
      const y = first + index * ROW;
      const from = x === 0 ? BOX : (WIDTH + BOX) / 2;
      const to = x === 0 ? (WIDTH - BOX) / 2 : WIDTH - BOX;
      const [y1, y2] = x === 0 ? [y, middle] : [middle, y];
      const bend = (from + to) / 2;
      lines.append(svg("path", { d: `M ${from} ${y1} C ${bend} ${y1} ${bend} ${y2} ${to} ${y2}` }));
      picture.append(box(each, x, y, () => show(each)));
    });
    if (all > nodes.length) {
      picture.append(others(all - nodes.length, x + 8, height - 8, () => show(node, new Set([...whole, side]))));
    }
  };
  column(left, 0, node.neededBy.length, "left");
  column(right, WIDTH - BOX, node.needs.length, "right");
  picture.append(box(node, (WIDTH - BOX) / 2, middle, null));
  return picture;
}

function box(node, x, y, go, width = BOX) {
  const group = svg("g", { class: go ? "box" : "box chosen" });
  const name = node.name.length > 28 ? `${node.name.slice(0, 27)}…` : node.name;
  group.append(
    svg("rect", { x, y: y - 12, width, height: 24, rx: 6 }),
    svg("text", { x: x + 8, y: y + 4 }, name),
    svg("text", { x: x + width - 8, y: y + 4, class: "end" }, String(node.criticality)),
  );
  group.append(svg("title", {}, node.name));
  if (go) pressable(group, `${node.name}, needed by ${node.criticality}`, go);
  return group;
}

function pressable(group, label, go) {
  group.setAttribute("role", "button");
  group.setAttribute("tabindex", "0");
  group.setAttribute("aria-label", label);
  group.addEventListener("click", go);
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    go();
  });
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

function svg(name, attributes, words) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (words !== undefined) made.textContent = words;
  return made;
}
