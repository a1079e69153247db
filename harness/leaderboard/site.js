// Sorting by column and choosing of rows; without it the tables stand in the order of their ranks.
document.documentElement.classList.add("script");

function value(row, index) {
  const cell = row.cells[index];
  if (cell.dataset.sort === undefined) return null;
  return cell.classList.contains("number") ? Number(cell.dataset.sort) : cell.dataset.sort;
}

function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return direction * (a - b);
  return direction * String(a).localeCompare(String(b), "en");
}

function sort(button) {
  const head = button.closest("th");
  const table = head.closest("table");
  const before = head.getAttribute("aria-sort");
  const first = head.dataset.first === "descending" ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = before === first ? other : first;
  for (const one of table.querySelectorAll("th[aria-sort]")) one.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const body = table.tBodies[0];
  const direction = order === "ascending" ? 1 : -1;
  const rows = [...body.rows];
  rows.sort((a, b) => compare(value(a, head.cellIndex), value(b, head.cellIndex), direction));
  body.append(...rows);
}

function choose() {
  const paradigm = document.getElementById("paradigm").value;
  const audited = document.getElementById("audited").checked;
  let shown = 0;
  for (const row of document.querySelectorAll("tr[data-paradigm]")) {
    const fits = !paradigm || row.dataset.paradigm === paradigm;
    row.hidden = !fits || (audited && row.dataset.audited !== "yes");
    shown += !row.hidden;
  }
  document.getElementById("shown").textContent = `${shown} shown`;
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button));
}
for (const id of ["paradigm", "audited"]) {
  document.getElementById(id)?.addEventListener("change", choose);
}
