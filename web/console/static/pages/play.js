import { html } from "../html.js";
import { Icon } from "../icons.js";
import { Button, Field } from "../ui.js";

export const Url = ({ url }) => html`<span class="url mono" title=${url}>${url}</span>`;

export const Playing = ({ urls }) => html`<ol class="playing">${urls.map((url) => html`<li><${Icon} name="music" /><${Url} url=${url} /></li>`)}</ol>`;

/** A form for files to play, in a room or to one session. `children`: more buttons. */
export function Play({ busy, onPlay, children }) {
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const urls = new FormData(form).get("urls").split(/\s+/).filter(Boolean);
    if (urls.length && (await onPlay(urls))) form.reset();
  };
  return html`<form class="stacked" onSubmit=${submit}>
    <${Field} label="Play audio" hint="One URL a line: WAV, MP3, FLAC, Ogg or Opus.">
      ${(id) => html`<textarea id=${id} name="urls" rows="2" required spellcheck=${false} placeholder="https://cdn.example.com/hello.wav" aria-describedby="${id}-hint"></textarea>`}
    <//>
    <div class="buttons"><${Button} type="submit" tone="primary" icon="play" busy=${busy}>Play<//>${children}</div>
  </form>`;
}
