/* events: 'select' 'submit' */
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children.filter((child) => child !== null));
  return node;
};
const draw = () => {
  const value = JSON.parse(props.value || "null");
  element.replaceChildren(...(value ? build(value) : []));
};
watch("value", draw);
