/** Leaving a row: asking why nothing matches, submitting, going back; the page hears of it by events on the root. */

export class Answering {
  constructor(editorView) {
    this.editorView = editorView;
  }

  /** A page may answer `tl-ask` itself with preventDefault(). */
  askWhy() {
    const { root, editor, reasons } = this.editorView;
    if (!editor.item) return;
    const detail = { editor };
    const event = new CustomEvent("tl-ask", { bubbles: true, cancelable: true, detail });
    if (root.dispatchEvent(event)) reasons.showModal();
  }

  submit() {
    const { editor } = this.editorView;
    editor.settle();
    if (!editor.item || this.editorView.tutorial.took("submit")) return;
    if (editor.obstacle) return void this.editorView.say(editor.obstacle);
    this.learn();
    this.#emit("tl-submit", { editor, edit: editor.edit({ submitted: true }) });
  }

  leave(name) {
    const { tutorial, editor } = this.editorView;
    if (tutorial.running) return void this.editorView.say("Leave the drill first: Esc.");
    editor.settle();
    this.#emit(name, { editor });
  }

  #emit(name, detail) {
    this.editorView.root.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }

  /** What became of edges that were set during playback tells the reaction time. */
  learn() {
    const { editor, reaction } = this.editorView;
    if (!editor.item) return;
    reaction.learn((key) => {
      const [id, edge] = key.split(":");
      return editor.moments.find((m) => m.id === Number(id))?.[`${edge}_ms`] ?? null;
    });
  }
}
