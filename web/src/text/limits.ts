export const limits = {
  title: "Limits",
  about:
    "How many jobs may run at once, or start within a time, over all workers. Declared in code; a change here holds until it is reset.",
  name: "Limit",
  kind: "Kind",
  kinds: { limit: "at once", rate: "rate" } as Record<string, string>,
  within: (kind: string, window: string) => `${kind}, in ${window}`,
  key: "Key",
  capacity: "Capacity",
  declared: (capacity: string) => `declared ${capacity}`,
  taken: "Taken",
  takenOf: (name: string) => `Taken of ${name}`,
  closed: "closed: nobody passes",
  waiting: "Waiting",
  set: "Change",
  setTitle: (name: string) => `Capacity of ${name}`,
  setAbout: "It holds for every key, from now on and over deploys. Jobs that have passed go on; 0 lets nobody pass.",
  capacityLabel: "New capacity",
  setDone: (name: string, capacity: string) => `Limit ${name} is ${capacity}`,
  reset: "Reset",
  resetTitle: (name: string) => `Reset limit ${name}?`,
  resetBody: (capacity: string) => `It is ${capacity} again, as the application declares it.`,
  resetDone: (name: string) => `Limit ${name} is as declared`,
  emptyTitle: "No task declares a limit",
  empty: "So many jobs of these tasks at once, whichever worker runs them; or so many within a time:",
  emptyCode: `@app.task(limits=[Limit("provider", 5)])
async def call_provider(user_id: int) -> None: ...

@app.task(rate=Rate("mail", 100, per="1m"))
async def send_mail(user_id: int) -> None: ...`,
};
