"use strict";
document.documentElement.classList.add("js");

// A table row and the details below it share one tbody, and are sorted and filtered together.
for (const table of document.querySelectorAll("table.sorted")) {
  for (const [place, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = head.querySelector("button");
    if (!button) continue;
    button.addEventListener("click", () => {
      // Names sort from A, numbers from the largest.
      const before = head.getAttribute("aria-sort");
      const falling = before ? before === "ascending" : head.classList.contains("n");
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const value = (body) => body.rows[0].cells[place].dataset.v ?? body.rows[0].cells[place].textContent.trim();
      const compare = (a, b) => (isNaN(a) || isNaN(b) ? String(a).localeCompare(String(b)) : a - b);
      const bodies = [...table.tBodies].sort((a, b) => (falling ? -1 : 1) * compare(value(a), value(b)));
      table.append(...bodies);
    });
  }
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const table = document.getElementById(input.dataset.filter);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const body of table.tBodies) body.hidden = !body.rows[0].textContent.toLowerCase().includes(wanted);
  });
}

for (const button of document.querySelectorAll("button.more")) {
  const row = document.getElementById(button.getAttribute("aria-controls"));
  button.addEventListener("click", () => {
    row.hidden = !row.hidden;
    button.setAttribute("aria-expanded", String(!row.hidden));
  });
}

// Show the value under the pointer.
const svg = (name, kind) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  made.setAttribute("class", kind);
  return made;
};
for (const plot of document.querySelectorAll("svg.plot")) {
  const values = plot.dataset.values.split(",");
  const first = Date.parse(plot.dataset.first);
  const left = Number(plot.dataset.left);
  const right = Number(plot.dataset.right);
  const { width, height } = plot.viewBox.baseVal;
  const line = svg("path", "cursor");
  const text = svg("text", "read");
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    const share = Math.min(Math.max((at - left) / (right - left), 0), 1);
    const place = Math.round(share * (values.length - 1));
    const x = left + (right - left) * (values.length > 1 ? place / (values.length - 1) : 0);
    const day = new Date(first + place * 86400000).toISOString().slice(0, 10);
    text.textContent = day + "  " + (values[place] === "" ? "none" : values[place] + plot.dataset.unit);
    text.setAttribute("x", Math.min(Math.max(x, left + 60), right - 60));
    text.setAttribute("y", 9);
    text.setAttribute("text-anchor", "middle");
    line.setAttribute("d", `M${x} 12V${height - 22}`);
    plot.append(line, text);
  });
  plot.addEventListener("pointerleave", () => {
    line.remove();
    text.remove();
  });
}
