/** What the API answers when it does not do what was asked: problem+json. */
export interface ProblemBody {
  type?: string;
  title: string;
  status: number;
  detail?: string;
  code: string;
  remedy?: string | null;
  state?: string;
  actions?: string[];
  errors?: { loc: (string | number)[]; message: string }[];
  request_id?: string;
}

export class Problem extends Error {
  readonly body: ProblemBody;

  constructor(body: ProblemBody) {
    super(body.detail ?? body.title);
    this.name = "Problem";
    this.body = body;
  }

  get status(): number {
    return this.body.status;
  }

  /** Whether asking again may help without anybody doing something. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

/** Anything that was thrown, as a problem that can be shown. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return new Problem({ title: "Something in this page broke", status: -1, code: "page", detail });
}
