import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { useLocation } from "wouter";
import { act } from "../api/client";
import { problemOf } from "../api/problem";
import type { Me } from "../api/types";
import { Button } from "../kit/Button";
import { ProblemNote } from "../kit/Problem";
import { text } from "../text";

/** Outside of the shell: nobody is known yet. */
export default function Login() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [path, navigate] = useLocation();
  const queries = useQueryClient();
  const id = useId();
  const words = text.signing;
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await act("/session", { token: token.trim() });
      setToken("");
      if (path === "/login") navigate("/", { replace: true });
      await queries.resetQueries();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  const me = queries.getQueryData<Me>(["/me"]);
  return (
    <main className="signing">
      <div className="panel stack">
        <h1>{words.title}</h1>
        {me && (
          <p>
            {words.alreadyIn} <strong>{me.name}</strong>.{" "}
            <Button onPress={() => navigate("/", { replace: true })}>{words.toOverview}</Button>
          </p>
        )}
        <p>{words.about}</p>
        {problem !== null && <ProblemNote error={problem} />}
        <form className="stack" onSubmit={(event) => void submit(event)}>
          <div className="field">
            <label htmlFor={id}>{words.token}</label>
            <input
              id={id}
              className="input mono"
              type="password"
              name="token"
              autoComplete="current-password"
              autoFocus
              required
              aria-describedby={`${id}-hint`}
              value={token}
              onChange={(event) => setToken(event.target.value)}
            />
            <span id={`${id}-hint`} className="hint">
              {words.tokenHint}
            </span>
          </div>
          <div className="row">
            <Button kind="primary" type="submit" isDisabled={isBusy || token.trim() === ""}>
              {isBusy ? words.working : words.submit}
            </Button>
          </div>
        </form>
      </div>
    </main>
  );
}
