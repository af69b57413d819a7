// Faces of the visitor's own: make one of a file, look at what was made, delete it.

import { deleteAvatar, postAvatar } from "./api.js";
import * as view from "./view.js";

const { byId } = view;
const LONGEST_NAME = 32;

/** What the server calls an avatar whose title is in any script. */
function nameOf(title) {
  const plain = title.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return plain.replace(/^-+/, "").slice(0, LONGEST_NAME).replace(/-+$/, "") || `face-${Date.now().toString(36)}`;
}

/** Sends the form's file and gives the new avatar's name; throws ApiError. */
export async function make() {
  const title = byId("own-name").value.trim();
  const form = new FormData();
  form.append("name", nameOf(title));
  form.append("title", title);
  if (byId("own-face").value) {
    form.append("box", byId("own-face").value);
  }
  form.append("file", byId("own-file").files[0]);
  view.showMaking(true);
  try {
    const made = await postAvatar(form);
    byId("own-form").reset();
    view.showFaceField(false);
    return made.name;
  } catch (error) {
    // The sentence lists where the faces are.
    view.showFaceField(error.message.includes("--box"));
    throw error;
  } finally {
    view.showMaking(false);
  }
}

let asked = null;

/** Deletes an avatar at the second click; false at the first, which only asks. */
export async function remove(avatar) {
  if (asked !== avatar.name) {
    asked = avatar.name;
    view.showDelete(`Really delete ${avatar.title}?`);
    return false;
  }
  asked = null;
  view.showDelete("Delete");
  await deleteAvatar(avatar.name);
  return true;
}

/** Shows the chosen avatar's sheet where it is one's own. */
export function show(avatar) {
  asked = null;
  view.showOwn(avatar);
}
