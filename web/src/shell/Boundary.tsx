import { Component, type ErrorInfo, type ReactNode } from "react";
import { Button } from "../kit/Button";
import { Code } from "../kit/Code";
import { text } from "../text";

interface Props {
  /** Another page gives it another try. */
  at: string;
  children: ReactNode;
}

interface State {
  broken: Error | null;
  at: string;
}

/** A page that breaks takes nothing down with it. */
export class Boundary extends Component<Props, State> {
  override state: State = { broken: null, at: this.props.at };

  static getDerivedStateFromError(broken: Error): Partial<State> {
    return { broken };
  }

  static getDerivedStateFromProps(props: Props, state: State): Partial<State> | null {
    return props.at === state.at ? null : { broken: null, at: props.at };
  }

  override componentDidCatch(error: Error, info: ErrorInfo): void {
    window.dispatchEvent(new CustomEvent("holdfast-broken", { detail: { error, stack: info.componentStack } }));
  }

  override render(): ReactNode {
    const { broken } = this.state;
    if (broken === null) return this.props.children;
    const isChunk = /import|chunk|module|fetch/i.test(broken.message) && /dynamically|load/i.test(broken.message);
    return (
      <div className="stack" role="alert">
        <h1>{text.problem.broken}</h1>
        <p>{isChunk ? text.problem.chunk : text.problem.brokenDetail}</p>
        <p>
          <Button kind="primary" onPress={() => window.location.reload()}>
            {text.problem.reload}
          </Button>
        </p>
        <Code wrap>{`${broken.name}: ${broken.message}\n${broken.stack ?? ""}`}</Code>
      </div>
    );
  }
}
