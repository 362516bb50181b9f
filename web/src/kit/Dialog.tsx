import type { ReactNode } from "react";
import { Dialog as AriaDialog, Heading } from "react-aria-components/Dialog";
import { Modal, ModalOverlay } from "react-aria-components/Modal";

interface DialogProps {
  title: string;
  wide?: boolean;
  alert?: boolean;
  onClose: () => void;
  children: ReactNode;
}

/** A question or a form over the page; Escape closes it, and the focus goes back to where it came from. */
export function Dialog({ title, wide, alert, onClose, children }: DialogProps) {
  return (
    <ModalOverlay
      className="veiled"
      isOpen
      isDismissable
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
    >
      <Modal className={wide ? "dialog wide" : "dialog"}>
        <AriaDialog role={alert ? "alertdialog" : "dialog"}>
          <div className="inside">
            <Heading slot="title" level={2}>
              {title}
            </Heading>
            {children}
          </div>
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  );
}
