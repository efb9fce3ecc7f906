// Where a token is entered: the hub is asked whether it takes it, and only then it is kept and used.
//
// What may come in: anything that is pasted. What it never does: show the token unless asked to, or keep one that the hub
// has not taken.
import { usePipelineStore } from "@ragpulse/react";
import { type ReactElement, type SyntheticEvent, useEffect, useId, useRef, useState } from "react";
import { useSession } from "../hooks.js";
import { hubUrl, refusalOf } from "../lib/check.js";
import { cleaned, whyNot } from "../lib/token.js";
import { Command } from "./copy.js";
import { Icon } from "./icons.js";

export interface TokenFormProps {
  /** Why the hub did not take the token before; null where there was none. */
  readonly refusal: string | null;
  /** It was taken, and is in use. */
  readonly onTaken: () => void;
}

export function TokenForm({ refusal, onTaken }: TokenFormProps): ReactElement {
  const session = useSession();
  const store = usePipelineStore();
  const [text, setText] = useState("");
  const [isShown, setShown] = useState(false);
  const [isOnDevice, setOnDevice] = useState(false);
  const [isChecked, setChecked] = useState(false);
  /** What is wrong with what was entered here; `undefined` until something was. */
  const [wrong, setWrong] = useState<string | null>();
  const input = useRef<HTMLInputElement>(null);
  const isGone = useRef(false);
  const id = useId();
  const token = cleaned(text);
  const problem = wrong === undefined ? refusal : wrong;
  useEffect(() => {
    isGone.current = false;
    // One can paste at once.
    input.current?.focus({ preventScroll: true });
    return () => {
      isGone.current = true;
    };
  }, []);

  const submit = async (event: SyntheticEvent): Promise<void> => {
    event.preventDefault();
    if (!token || isChecked) return;
    setChecked(true);
    setWrong(null);
    const why = whyNot(token) ?? (await refusalOf(token, hubUrl(), (url, init) => fetch(url, init)));
    if (isGone.current) return;
    setChecked(false);
    setWrong(why);
    if (why === null) {
      session.take(token, isOnDevice);
      store.refreshToken();
      setText("");
      onTaken();
    } else {
      input.current?.focus();
      input.current?.select();
    }
  };

  return (
    <form className="token-form" aria-label="Token for this hub" aria-busy={isChecked} onSubmit={(event) => void submit(event)}>
      <div role="alert" id={`${id}problem`}>{problem && <p className="sheet-cause">{problem}</p>}</div>
      <div className="field">
        <label htmlFor={`${id}token`}>Token</label>
        <div className="field-line">
          <input id={`${id}token`} ref={input} type={isShown ? "text" : "password"} value={text} readOnly={isChecked}
            onChange={(event) => setText(event.target.value)} aria-invalid={Boolean(problem)} aria-describedby={`${id}problem ${id}kind`}
            autoComplete="off" autoCapitalize="none" autoCorrect="off" spellCheck={false} data-1p-ignore="" data-lpignore="true" data-first />
          <button type="button" className="icon-button" aria-pressed={isShown} aria-controls={`${id}token`} aria-label="Show the token"
            title={isShown ? "Hide the token" : "Show the token"} onClick={() => setShown(!isShown)}><Icon name="eye" /></button>
        </div>
      </div>
      <p className="soft" id={`${id}kind`}>A token of this hub that may look: a static key (rp_…), or a JSON Web Token.</p>
      <label className="switch">
        <input type="checkbox" checked={isOnDevice} onChange={(event) => setOnDevice(event.target.checked)} />
        <span>Remember on this device <small>Otherwise only in this tab, until you close it.</small></span>
      </label>
      <button type="submit" className="button primary" disabled={!token}><Icon name="key" />{isChecked ? "Asking the hub…" : "Connect"}</button>
      <details className="token-how">
        <summary>How to get one</summary>
        <p>Ask whoever runs this hub. Who has its key file makes one that ends by itself, for a person:</p>
        <Command text={"ragpulse token mint --keys keys.toml \\\n  --role viewer --pipelines '*' \\\n  --ttl 12h --name YOU"} />
        <p>Or one that holds until it is revoked, such as for a screen on a wall; its entry goes into the key file:</p>
        <Command text={"ragpulse token new --name screen \\\n  --role viewer --pipelines '*'"} />
      </details>
    </form>
  );
}
