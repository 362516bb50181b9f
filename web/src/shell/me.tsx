// Who asks and what is installed: read once at the start, and handed to everybody.
import { createContext, type ReactNode, useContext, useMemo } from "react";
import type { Info, Me } from "../api/types";

interface Here {
  me: Me;
  info: Info;
  /** Whether this person may do that. The server decides again at each request; this only hides what would be refused. */
  may: (permission: string) => boolean;
}

const Context = createContext<Here | null>(null);

export function HereProvider({ me, info, children }: { me: Me; info: Info; children: ReactNode }) {
  const here = useMemo(
    () => ({ me, info, may: (permission: string) => me.permissions.includes(permission) }),
    [me, info],
  );
  return <Context value={here}>{children}</Context>;
}

export function useMe(): Here {
  const here = useContext(Context);
  if (here === null) throw new Error("useMe outside of the shell");
  return here;
}
