// Draws the figures from the documents in the page, and sets the formulas, with the libraries beside the page.
"use strict";

for (const place of document.querySelectorAll(".figure")) {
  const { documents, items } = JSON.parse(place.querySelector("script").textContent);
  Bokeh.embed.embed_items(documents, items).then(
    () => place.classList.add("live"),
    (error) => console.error("a figure stays still:", error)
  );
}

const { tex2svg } = Bokeh.require("models/text/mathjax/index");
for (const place of document.querySelectorAll(".tex")) {
  const tex = place.textContent;
  try {
    const formula = tex2svg(tex, { display: place.classList.contains("display") });
    const wrong = formula.querySelector("[data-mjx-error]");
    if (wrong) throw new Error(wrong.getAttribute("data-mjx-error"));
    formula.setAttribute("role", "img");
    formula.setAttribute("aria-label", tex);
    place.replaceChildren(formula);
    place.classList.add("set");
  } catch (error) {
    console.error("a formula stays TeX:", tex, error);
  }
}
