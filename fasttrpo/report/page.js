// Shows the values at the pointer: a line across the chart, and a box next to it.
const tip = document.getElementById("tip");
const svgNamespace = "http://www.w3.org/2000/svg";

function nearest(xs, x) {
  let best = 0;
  for (let i = 1; i < xs.length; i++) if (Math.abs(xs[i] - x) < Math.abs(xs[best] - x)) best = i;
  return best;
}

function row(line, value) {
  const div = document.createElement("div"), name = document.createElement("span");
  const key = document.createElementNS(svgNamespace, "svg"), stroke = document.createElementNS(svgNamespace, "path");
  const number = document.createElement("b");
  key.setAttribute("viewBox", "0 0 18 8");
  stroke.setAttribute("d", "M0 4H18");
  stroke.setAttribute("class", `${line.style} ${line.class}`);
  key.append(stroke);
  name.textContent = line.name;
  number.textContent = value;
  div.append(key, name, number);
  return div;
}

function show(svg, event) {
  const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
  const x = ((event.clientX - box.left) / box.width) * view.width;
  const found = svg.lines.filter((line) => x > line.x[0] - 20 && x < line.x.at(-1) + 20)
    .map((line) => [line, nearest(line.x, x)]);
  if (!found.length) return hide(svg);
  const [first, i] = found[0];
  svg.cursor.setAttribute("d", `M${first.x[i]} 26V${view.height - 40}`);
  const head = document.createElement("div");
  head.textContent = `${svg.dataset.unit || "step"} ${first.at[i]}`;
  tip.replaceChildren(head, ...found.map(([line, j]) => row(line, line.value[j])));
  tip.hidden = false;
  const right = event.clientX + 16 + tip.offsetWidth < innerWidth;
  tip.style.left = `${Math.max(4, right ? event.clientX + 14 : event.clientX - tip.offsetWidth - 14)}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
}

function hide(svg) {
  svg.cursor.setAttribute("d", "");
  tip.hidden = true;
}

for (const svg of document.querySelectorAll("svg[data-points]")) {
  svg.lines = JSON.parse(svg.dataset.points);
  svg.cursor = svg.appendChild(document.createElementNS(svgNamespace, "path"));
  svg.cursor.setAttribute("class", "cursor");
  svg.addEventListener("pointermove", (event) => show(svg, event));
  svg.addEventListener("pointerleave", () => hide(svg));
}
