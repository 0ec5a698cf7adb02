// Moving figures: draws the Plotly figures of a page, follows light and dark mode, and gives each
// figure controls of its own (a native slider or select, with a label and a value), because
// Plotly's cannot be reached by keyboard. Plotly is fetched only where a figure comes near.
(function () {
  "use strict";

  const root = document.documentElement;
  const NARROW = 520; // CSS pixels below which a figure is laid out for a phone

  let plotly = null;
  function loadPlotly() {
    if (!plotly) {
      plotly = new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = (root.dataset.content_root || "./") + "_static/plotly.min.js";
        script.onload = () => resolve(window.Plotly);
        script.onerror = () => reject(new Error("plotly.min.js could not be loaded"));
        document.head.appendChild(script);
      });
    }
    return plotly;
  }

  // --- colours -----------------------------------------------------------------------------
  // A figure names the book's palette in its light form; the page knows both forms.

  const NAMES = [
    "ink", "grey", "paper", "blue", "orange", "green", "purple", "red", "gold",
    "sequential-1", "sequential-2", "sequential-4", "diverging-1", "diverging-3",
  ];

  function palette(prefix) {
    const style = getComputedStyle(root);
    return NAMES.map((name) => style.getPropertyValue(prefix + name).trim().toLowerCase());
  }

  function colourMap() {
    const from = palette("--palette-"), to = palette("--book-");
    return new Map(from.map((colour, i) => [colour, to[i]]));
  }

  function recolour(value, map) {
    if (typeof value === "string") return map.get(value.toLowerCase()) || value;
    if (Array.isArray(value)) return value.map((item) => recolour(item, map));
    if (value && typeof value === "object") {
      const out = {};
      for (const key of Object.keys(value)) out[key] = recolour(value[key], map);
      return out;
    }
    return value;
  }

  // --- layout ------------------------------------------------------------------------------

  function titleText(layout) {
    const title = layout && layout.title;
    return title === undefined ? undefined : typeof title === "string" ? title : title.text;
  }

  function pageLayout(source, width) {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue("--book-" + name).trim();
    const narrow = width < NARROW;
    const layout = Object.assign({}, source, {
      title: undefined, sliders: undefined, updatemenus: undefined, width: undefined,
      autosize: true,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: Object.assign({}, source.font, {
        color: colour("ink"), family: getComputedStyle(document.body).fontFamily,
        size: narrow ? 12 : 14,
      }),
      hoverlabel: Object.assign({}, source.hoverlabel, {
        bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("ink") },
      }),
      margin: { l: 8, r: 8, t: 8, b: 8 }, // axes and legend take what they need beyond this
    });
    for (const key of Object.keys(layout)) {
      if (!/^[xy]axis\d*$/.test(key)) continue;
      layout[key] = Object.assign({ automargin: true }, layout[key], {
        gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"),
        tickcolor: colour("line"),
      });
    }
    if (narrow) {
      layout.legend = Object.assign({}, layout.legend, {
        orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom",
      });
    }
    return layout;
  }

  // --- controls ----------------------------------------------------------------------------

  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  // A Plotly step or button: {label, method, args}. `animate` goes to a frame, the other methods
  // change the figure in place.
  function perform(Plotly, plot, step) {
    const args = step.args || [];
    if (step.method !== "animate") return Plotly[step.method](plot, ...args);
    const duration = calm.matches ? 0 : 180;
    const moved = Plotly.animate(plot, args[0], {
      mode: "immediate",
      transition: { duration: duration, easing: "cubic-in-out" },
      frame: { duration: duration, redraw: true },
    });
    // A step that is overtaken by the next one is rejected without a reason.
    return moved.catch((reason) => { if (reason) throw reason; });
  }

  let count = 0;

  function control(tag, label) {
    const row = document.createElement("div");
    row.className = "moving-figure-control";
    const caption = document.createElement("label");
    const input = document.createElement(tag);
    input.id = "moving-figure-input-" + ++count;
    caption.htmlFor = input.id;
    caption.textContent = label;
    row.append(caption, input);
    return { row, input };
  }

  function sliderControl(slider, choose) {
    const steps = slider.steps || [];
    const prefix = ((slider.currentvalue || {}).prefix || "Step").replace(/[\s:=]+$/, "");
    const { row, input } = control("input", prefix);
    input.type = "range";
    input.min = 0;
    input.max = steps.length - 1;
    input.step = 1;
    input.value = slider.active || 0;
    const output = document.createElement("output");
    output.htmlFor = input.id;
    row.append(output);
    // as wide as the longest value, so that nothing moves while the slider does
    output.style.minWidth = Math.max(...steps.map((step) => step.label.length)) + "ch";
    const tell = () => {
      const label = steps[input.value].label;
      output.textContent = label;
      input.setAttribute("aria-valuetext", label);
    };
    tell();
    input.addEventListener("input", () => { tell(); choose(steps[input.value]); });
    return row;
  }

  function menuControl(menu, choose) {
    const buttons = menu.buttons || [];
    const { row, input } = control("select", menu.name || "Show");
    buttons.forEach((button, i) => input.add(new Option(button.label, i)));
    input.value = menu.active || 0;
    input.addEventListener("change", () => choose(buttons[input.value]));
    return row;
  }


  // --- one figure --------------------------------------------------------------------------

  class Figure {
    constructor(element) {
      this.element = element;
      this.plot = element.querySelector(".moving-figure-plot");
      this.spec = JSON.parse(element.querySelector("script").textContent);
      this.spec.layout = this.spec.layout || {};
      this.steps = new Map(); // the last step of each control, to return to when colours change
    }

    async start() {
      try {
        this.Plotly = await loadPlotly();
        this.addTitle();
        await this.draw();
        this.addControls();
        this.element.dataset.state = "ready";
      } catch (error) {
        this.element.dataset.state = "error";
        console.error(error);
      }
    }

    addTitle() {
      if (!titleText(this.spec.layout)) return;
      this.title = document.createElement("p");
      this.title.className = "moving-figure-title";
      this.title.textContent = titleText(this.spec.layout);
      this.element.insertBefore(this.title, this.plot);
    }

    async draw() {
      const map = colourMap();
      const width = this.plot.clientWidth;
      const layout = pageLayout(recolour(this.spec.layout, map), width);
      const frames = recolour(this.spec.frames || [], map);
      if (this.plot.data) this.Plotly.purge(this.plot);
      await this.Plotly.newPlot(this.plot, recolour(this.spec.data, map), layout, {
        responsive: false, displayModeBar: false, displaylogo: false, scrollZoom: false,
      });
      if (frames.length) await this.Plotly.addFrames(this.plot, frames);
      for (const step of this.steps.values()) await perform(this.Plotly, this.plot, step);
    }

    // Whether the place has another width than the figure that was drawn into it.
    misfits() {
      return Math.abs(this.plot.clientWidth - this.plot._fullLayout.width) > 1;
    }

    addControls() {
      const { sliders = [], updatemenus = [] } = this.spec.layout;
      const box = document.createElement("div");
      box.className = "moving-figure-controls";
      const choose = (control) => (step) => this.choose(control, step);
      updatemenus.forEach((menu) => box.append(menuControl(menu, choose(menu))));
      sliders.forEach((slider) => box.append(sliderControl(slider, choose(slider))));
      if (box.children.length) this.element.append(box);
    }

    choose(control, step) {
      this.steps.delete(control); // the control moved last is returned to last
      this.steps.set(control, step);
      if (this.title && step.method === "animate") {
        const frame = (this.spec.frames || []).find((item) => item.name === [].concat(step.args[0])[0]);
        const text = frame && titleText(frame.layout);
        if (text) this.title.textContent = text;
      }
      return perform(this.Plotly, this.plot, step);
    }
  }

  // --- the page ----------------------------------------------------------------------------

  function startAll() {
    const figures = [...document.querySelectorAll(".moving-figure")].map((el) => new Figure(el));
    if (!figures.length) return;

    const started = new Map();
    const start = (figure) => {
      if (!started.has(figure)) started.set(figure, figure.start());
      return started.get(figure);
    };
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        start(figures.find((figure) => figure.element === entry.target));
      }
    }, { rootMargin: "800px" });
    figures.forEach((figure) => near.observe(figure.element));
    window.addEventListener("beforeprint", () => figures.forEach(start));

    // One redraw waits for the one before it: the mode and the width may change together.
    const redraw = (wanted) => {
      for (const [figure, ready] of started) {
        started.set(figure, ready.then(async () => {
          if (figure.element.dataset.state === "ready" && wanted(figure)) await figure.draw();
        }));
      }
    };
    new MutationObserver(() => redraw(() => true))
      .observe(root, { attributes: true, attributeFilter: ["data-theme"] });
    // Not the window's resize event: the page may still be settling then, and the figure would
    // keep a width that is gone a moment later.
    const settled = new ResizeObserver(() => redraw((figure) => figure.misfits()));
    figures.forEach((figure) => settled.observe(figure.plot));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
