/**
 * Drives the handshake of one connection: cuts its bytes into client flags and options and hands
 * them to the machine of protocols/nbd/negotiation.ts.
 *
 * Invariants: an option is looked at only when the answers before it have gone to the kernel; not a
 * byte that came before TLS is ever interpreted after it.
 */
import { assert } from '../../protocols/assert.ts'
import { NBD_MAX_OPTION_BYTES } from '../../protocols/limits.ts'
import {
  CLIENT_FLAGS_BYTES,
  decodeOptionHeader,
  encodeGreeting,
  OPTION_HEADER_BYTES
} from '../../protocols/nbd/handshake.ts'
import {
  afterTls,
  clientFlags,
  type ExportList,
  type Negotiation,
  type Outcome,
  onOption,
  startNegotiation
} from '../../protocols/nbd/negotiation.ts'
import type { Intake, IntakeHandler } from './intake.ts'

export type Agreed = Extract<Outcome, { next: 'transmission' }>

export interface HandshakeParts {
  readonly intake: Intake
  readonly exports: ExportList
  readonly tls: boolean
  /** False while earlier answers have not left: then `pause` is called, and options wait. */
  readonly mayGoOn: () => boolean
  readonly pause: () => void
  readonly send: (answer: Buffer) => void
  /** The acknowledgement was sent: TLS begins, then `secured` is called. */
  readonly startTls: () => void
  readonly agreed: (agreed: Agreed) => void
  readonly close: (why: string) => void
}

export class Handshake implements IntakeHandler {
  readonly #parts: HandshakeParts
  #state: Negotiation
  #at: 'flags' | 'option' | 'tls' = 'flags'
  #option = 0

  constructor(parts: HandshakeParts) {
    this.#parts = parts
    this.#state = startNegotiation(parts.tls ? 'required' : 'none')
    parts.intake.handler = this
    parts.intake.headerBytes = CLIENT_FLAGS_BYTES
  }

  start(): void {
    this.#parts.send(encodeGreeting())
  }

  /** The connection is encrypted now, and its intake fed from within. */
  secured(): void {
    assert(this.#at === 'tls', 'TLS begins where it was agreed on')
    this.#state = afterTls(this.#state)
    this.#nextOption()
  }

  onHeader(bytes: Buffer, at: number): boolean {
    const { mayGoOn, pause, close, intake } = this.#parts
    if (this.#at === 'tls') {
      close('bytes in the clear after STARTTLS')
      return true
    }
    if (!mayGoOn()) {
      pause()
      return false
    }
    if (this.#at === 'flags') {
      this.#onFlags(bytes.readUInt32BE(at))
      return true
    }
    const header = decodeOptionHeader(bytes, at)
    if (header === undefined) {
      close('no option where one has to begin')
      return true
    }
    if (header.lengthBytes > NBD_MAX_OPTION_BYTES) {
      close('an option that is too long')
      return true
    }
    this.#option = header.option
    if (header.lengthBytes === 0) this.onPayload(Buffer.alloc(0))
    else intake.expect(Buffer.alloc(header.lengthBytes))
    return true
  }

  onPayload(body: Buffer | undefined): void {
    assert(body !== undefined, 'the body of an option is never skipped')
    const { exports, send, startTls, agreed, close } = this.#parts
    const { state, answers, outcome } = onOption(this.#state, this.#option, body, exports)
    this.#state = state
    if (answers.length > 0) send(Buffer.concat(answers))
    switch (outcome.next) {
      case 'option':
        return
      case 'close':
        close(outcome.why)
        return
      case 'tls':
        this.#at = 'tls'
        this.#parts.intake.headerBytes = 1
        startTls()
        return
      case 'transmission':
        agreed(outcome)
    }
  }

  #onFlags(flags: number): void {
    const state = clientFlags(this.#state, flags)
    if (state === undefined) {
      this.#parts.close('unknown client flags')
      return
    }
    this.#state = state
    this.#nextOption()
  }

  #nextOption(): void {
    this.#at = 'option'
    this.#parts.intake.headerBytes = OPTION_HEADER_BYTES
  }
}
