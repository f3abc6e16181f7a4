// Sorts a table by the column whose head is pressed: by the first number of each cell, else by its text; what has
// neither goes last. Pressed again, the other way round.
"use strict";
function key(cell) {
  const text = cell.innerText.trim();
  const number = parseFloat(text.replace("−", "-").replace(/,(?=\d{3})/g, ""));
  return { empty: text === "" || text === "–", number: /^[-+−]?[\d.]/.test(text) ? number : NaN, text };
}
function compare(one, other) {
  if (!isNaN(one.number) && !isNaN(other.number)) return one.number - other.number;
  return one.text.localeCompare(other.text);
}
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[place]), row]);
      rows.sort(([one], [other]) => one.empty - other.empty || (falling ? -1 : 1) * compare(one, other));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
