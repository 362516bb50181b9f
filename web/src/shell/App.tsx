import { QueryClientProvider, useQuery } from "@tanstack/react-query";
import { type ReactNode, Suspense, useEffect } from "react";
import { Router, useLocation } from "wouter";
import { prefix } from "../address";
import { ask, rememberCsrfToken, whenUnauthenticated } from "../api/client";
import { type Problem, problemOf } from "../api/problem";
import { client } from "../api/reading";
import type { Info, Me } from "../api/types";
import { synchronise } from "../clock";
import { ConfirmProvider } from "../kit/Confirm";
import { ProblemNote } from "../kit/Problem";
import Login from "../pages/login";
import { text } from "../text";
import { Boundary } from "./Boundary";
import { HereProvider } from "./me";
import { Shell } from "./Shell";

export function App() {
  return (
    <QueryClientProvider client={client}>
      <Router base={prefix}>
        <Boundary at="">
          <ConfirmProvider>
            <Entrance />
          </ConfirmProvider>
        </Boundary>
      </Router>
    </QueryClientProvider>
  );
}

/** Who comes in: known, asked to sign in, or told why neither is possible. */
function Entrance() {
  const [path] = useLocation();
  const me = useOnce<Me>("/me");
  const info = useOnce<Info>("/info");
  useEffect(() => {
    if (me.data) rememberCsrfToken(me.data.csrf_token);
  }, [me.data]);
  useEffect(() => {
    if (info.data) synchronise(info.data.server_time);
  }, [info.data]);
  useEffect(() => {
    whenUnauthenticated(() => {
      // The session has ended: ask again who this is; the answer decides what is shown.
      if (client.getQueryData(["/me"]) !== undefined) void client.resetQueries({ queryKey: ["/me"] });
    });
  }, []);
  if (me.error?.status === 401 || info.error?.status === 401 || path === "/login") {
    return (
      <Suspense fallback={null}>
        <Login />
      </Suspense>
    );
  }
  const error = me.error ?? info.error;
  if (error && !(me.data && info.data)) {
    return (
      <Frame>
        <h1>{text.shell.product}</h1>
        <ProblemNote
          error={error}
          again={() => {
            void me.refetch();
            void info.refetch();
          }}
        />
      </Frame>
    );
  }
  if (!me.data || !info.data) return <div className="splash">{text.shell.loading}</div>;
  rememberCsrfToken(me.data.csrf_token);
  return (
    <HereProvider me={me.data} info={info.data}>
      <Shell />
    </HereProvider>
  );
}

function Frame({ children }: { children: ReactNode }) {
  return (
    <main className="signing">
      <div className="stack">{children}</div>
    </main>
  );
}

function useOnce<T>(path: string) {
  return useQuery<T, Problem>({
    queryKey: [path],
    queryFn: async ({ signal }) => {
      try {
        return await ask<T>(path, {}, signal);
      } catch (thrown) {
        throw problemOf(thrown);
      }
    },
    staleTime: 60_000,
    refetchInterval: (query) => (query.state.error?.isTransient ? 3_000 : 60_000),
  });
}
