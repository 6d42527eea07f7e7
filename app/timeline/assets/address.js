/** Where the app lives: at the root of its host, or below a base path. This module's own address tells. */

export const basePath = new URL("..", import.meta.url).pathname.slice(0, -1);

/** A path of the app, such as "/sign-in", as the browser has to ask for it. */
export const addressOf = (path) => basePath + path;
