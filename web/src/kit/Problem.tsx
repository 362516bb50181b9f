import { CircleX, RotateCw } from "lucide-react";
import { problemOf } from "../api/problem";
import { text } from "../text";
import { Button } from "./Button";
import { Explained } from "./Notices";

/** What went wrong, why, and what to do about it. */
export function ProblemNote({ error, again }: { error: unknown; again?: () => void }) {
  const problem = problemOf(error);
  return (
    <div className="problem" role="alert">
      <CircleX size={18} aria-hidden />
      <div>
        <strong>{problem.body.title}</strong>
        <Explained problem={problem} />
        {again && (
          <Button icon={RotateCw} onPress={again}>
            {text.problem.again}
          </Button>
        )}
      </div>
    </div>
  );
}
