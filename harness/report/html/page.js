/* The page: columns that sort, the chart that was chosen, and the beginning of it all. */
function sortable(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = make("button", {type: "button"}, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const first = head.dataset.better === "higher" ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const way = head.getAttribute("aria-sort") === first ? second : first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      for (const body of table.tBodies) sortBody(body, column, way === "ascending" ? 1 : -1);
    });
  });
}

/* Rows of one group; those without a number stay below. */
function sortBody(body, column, sign) {
  const [heading, ...rows] = body.rows;
  const value = (row) => { const {value} = row.cells[column].dataset; return value === undefined ? undefined : Number(value); };
  rows.sort((a, b) => {
    if (column === 0) return sign * a.cells[0].textContent.localeCompare(b.cells[0].textContent);
    const [x, y] = [value(a), value(b)];
    return (x === undefined) - (y === undefined) || sign * ((x || 0) - (y || 0));
  });
  body.replaceChildren(heading, ...rows);
}

function chooseChart(form) {
  const {metric, latency} = form.elements;
  const show = () => document.querySelectorAll("figure.chart").forEach((chart) => {
    chart.hidden = chart.id !== `chart-${metric.value}-${latency.value}`;
  });
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}

document.documentElement.classList.add("script");
sortable(document.getElementById("results-table"));
if (document.getElementById("chart-choice")) chooseChart(document.getElementById("chart-choice"));
beginClips();
addEventListener("DOMContentLoaded", beginSounds);
