/** The Annotate page's run: what is on screen, what comes next, and where edits go. */

export async function start() {}
