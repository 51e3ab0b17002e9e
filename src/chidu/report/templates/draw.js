// Draws the page's charts in the page's own ink, again when the reader's scheme changes, and in black for paper.
(() => {
  "use strict";
  const charts = [...document.querySelectorAll("[data-chart]")];
  const settings = { responsive: true, displayModeBar: false, displaylogo: false };

  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function dress(layout, size) {
    const axis = { gridcolor: ink("--rule"), linecolor: ink("--rule"), zerolinecolor: ink("--quiet") };
    const family = getComputedStyle(document.body).fontFamily;
    return {
      ...layout,
      ...size,
      font: { family, size: 13, color: ink("--ink") },
      hoverlabel: { font: { family } },
      xaxis: { ...layout.xaxis, ...axis },
      yaxis: { ...layout.yaxis, ...axis },
    };
  }

  // On paper a chart has a size of its own: nothing is laid out again between this event and the printing.
  const heights = { low: 180, middle: 220, tall: 330 };
  const paper = (chart) => ({ width: 640, height: heights[chart.dataset.height], autosize: false });

  function draw(chart, size) {
    const { data, layout } = JSON.parse(document.getElementById("figure-" + chart.dataset.chart).textContent);
    return Plotly.react(chart, data, dress(layout, size), settings);
  }

  const onScreen = () => charts.forEach((chart) => draw(chart, { autosize: true }));
  const onPaper = () => charts.forEach((chart) => draw(chart, paper(chart)));
  onScreen();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onScreen);
  matchMedia("print").addEventListener("change", (query) => (query.matches ? onPaper() : onScreen()));
  addEventListener("beforeprint", onPaper);
  addEventListener("afterprint", onScreen);
})();
