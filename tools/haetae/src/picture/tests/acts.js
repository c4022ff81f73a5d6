
"use strict";
(() => {
  const faults = [];
  window.addEventListener("error", (event) => faults.push(event.message));
  document.addEventListener("securitypolicyviolation", (event) => faults.push("policy: " + event.violatedDirective));
  const the = (id) => document.getElementById(id);
  const seen = {};
  const press = (element) => element.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  const key = (name) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
  const box = () => document.querySelector("#stage svg.haetae:not([hidden])").getAttribute("viewBox");
  const act = () => {
    seen.fonts = getComputedStyle(document.querySelector(".haetae .name")).fontWeight;
    const before = box();
    key("+");
    seen.zoomed = box() !== before;
    key("0");
    seen.fitted = box().startsWith("0 0 ");
    const node = document.querySelector("#stage svg.haetae:not([hidden]) .node.exchange");
    press(node.querySelector("text"));
    seen.heading = the("panel").querySelector("h2").textContent;
    seen.account = [...the("panel").querySelectorAll("dd.id")].map((cell) => cell.firstChild.textContent);
    seen.dimmed = document.querySelectorAll("#stage svg.haetae:not([hidden]) .node:not(.on)").length;
    press(the("upstream"));
    seen.upstream = document.querySelectorAll("#stage svg.haetae:not([hidden]) .node.on").length;
    key("Escape");
    seen.cleared = !document.querySelector(".choosing");
    the("search").value = "bithumb";
    the("search").dispatchEvent(new Event("input"));
    seen.found = the("found").textContent;
    key("Escape");
    seen.overview = the("panel").querySelectorAll(".hit").length;
    const boxes = document.querySelectorAll("[data-asset]");
    boxes[0].checked = false;
    boxes[0].dispatchEvent(new Event("change"));
    seen.hidden = document.querySelectorAll("#stage svg.haetae:not([hidden]) .link.off").length;
    boxes[0].checked = true;
    boxes[0].dispatchEvent(new Event("change"));
    if (the("expand")) {
      const few = document.querySelectorAll("#stage svg.haetae:not([hidden]) .node").length;
      press(the("expand"));
      seen.expanded = document.querySelectorAll("#stage svg.haetae:not([hidden]) .node").length > few;
    }
    const link = document.querySelector("#stage svg.haetae:not([hidden]) .link");
    press(link.querySelector("path"));
    seen.transfers = the("panel").querySelectorAll(".item").length;
  };
  try { act(); } catch (error) { faults.push(String(error)); }
  seen.faults = faults;
  const told = document.createElement("pre");
  told.id = "seen";
  told.textContent = JSON.stringify(seen);
  document.body.append(told);
})();
