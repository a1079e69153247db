/* A line over each table that is wider than its place; the shadows at its edges need no script. */
function hintScrolling(place) {
  const hint = document.createElement("p");
  Object.assign(hint, {className: "hint", ariaHidden: "true", hidden: true, textContent: "The table goes on: scroll sideways →"});
  place.before(hint);
  new ResizeObserver(() => { hint.hidden = place.scrollWidth <= place.clientWidth + 1; }).observe(place);
}

document.querySelectorAll(".scroll").forEach(hintScrolling);
