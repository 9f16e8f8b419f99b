// Draws the figures from the documents in the page, with the libraries beside the page.
"use strict";

for (const place of document.querySelectorAll(".figure")) {
  const { documents, items } = JSON.parse(place.querySelector("script").textContent);
  Bokeh.embed.embed_items(documents, items).then(
    () => place.classList.add("live"),
    (error) => console.error("a figure stays still:", error)
  );
}
