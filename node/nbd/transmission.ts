/**
 * The transmission phase of one connection: requests in, calls of the device, answers out.
 *
 *   intake --header--> budget --> device --> answer --> output --written--> budget
 *                        \ none left: the socket is not read until some is given back
 *
 * Invariants: every admitted request is answered exactly once, or its connection is gone; the device
 * is called in the order of arrival; a change is answered only after the device resolved it;
 * after DISC nothing is read, and everything admitted is still answered.
 */
import { assert } from '../../protocols/assert.ts'
import { messageOf } from '../../protocols/fault.ts'
import { NBD_MAX_PAYLOAD_BYTES } from '../../protocols/limits.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import { decodeRequest, type NbdRequest } from '../../protocols/nbd/transmission.ts'
import type { BlockDevice, DeviceExtent } from '../block-device.ts'
import type { Log } from '../ports.ts'
import { Answers } from './answers.ts'
import type { Share } from './budget.ts'
import { nbdErrorOf } from './errors.ts'
import type { Intake, IntakeHandler } from './intake.ts'
import type { Output } from './output.ts'
import { Payloads } from './payloads.ts'
import { costOf, refusalOf } from './rules.ts'

export interface TransmissionParts {
  readonly device: BlockDevice
  readonly readOnly: boolean
  readonly structured: boolean
  readonly allocation: boolean
  readonly intake: Intake
  readonly output: Output
  readonly share: Share
  readonly log: Log
  /** No more is to be read: the budget is used up. `share.wake` tells when to go on. */
  readonly pause: () => void
  /** The client said goodbye; called again, until it is gone, whenever a request was answered. */
  readonly leave: () => void
  /** The client broke the protocol. */
  readonly violation: (why: string) => void
}

export class Transmission implements IntakeHandler {
  readonly #parts: TransmissionParts
  readonly #answers: Answers
  readonly #payloads = new Payloads()
  #incoming: NbdRequest | undefined
  #incomingRefusal = nbd.NBD_OK
  #unanswered = 0
  #leaving = false
  requests = 0

  constructor(parts: TransmissionParts) {
    this.#parts = parts
    this.#answers = new Answers(parts.output, parts.structured)
  }

  /** Requests that the device still works on. */
  get unanswered(): number {
    return this.#unanswered
  }

  onHeader(bytes: Buffer, at: number): boolean {
    const { share, pause, violation, intake } = this.#parts
    const request = decodeRequest(bytes, at)
    if (request === undefined) {
      violation('no request where one has to begin')
      return true
    }
    if (request.command === nbd.NBD_CMD_DISC) {
      this.leave()
      return true
    }
    const isWrite = request.command === nbd.NBD_CMD_WRITE
    if (isWrite && request.lengthBytes > NBD_MAX_PAYLOAD_BYTES) {
      violation('a payload above the advertised maximum')
      return true
    }
    if (!share.take(costOf(request))) {
      pause()
      return false
    }
    this.#unanswered++
    this.requests++
    const refusal = refusalOf(request, this.#parts)
    if (!isWrite || request.lengthBytes === 0) {
      this.#start(request, refusal, undefined)
      return true
    }
    this.#incoming = request
    this.#incomingRefusal = refusal
    if (refusal === nbd.NBD_OK) intake.expect(this.#payloads.allocate(request.lengthBytes))
    else intake.skip(request.lengthBytes)
    return true
  }

  onPayload(payload: Buffer | undefined): void {
    const request = this.#incoming
    assert(request !== undefined, 'a payload belongs to a request')
    this.#incoming = undefined
    this.#start(request, this.#incomingRefusal, payload)
  }

  /** DISC, or the client ended its side: answer what is here, take nothing more. */
  leave(): void {
    this.#leaving = true
    this.#parts.intake.stop()
    const incoming = this.#incoming
    if (incoming !== undefined) {
      this.#incoming = undefined
      this.#answered(incoming)
    }
    this.#parts.leave()
  }

  #start(request: NbdRequest, refusal: number, payload: Buffer | undefined): void {
    if (refusal !== nbd.NBD_OK) {
      this.#fail(request, refusal, 'the request is not valid here')
      return
    }
    try {
      this.#dispatch(request, payload)
    } catch (error) {
      this.#failed(request, error)
    }
  }

  #dispatch(request: NbdRequest, payload: Buffer | undefined): void {
    const { device } = this.#parts
    const { offsetBytes, lengthBytes, flags, command } = request
    const fua = (flags & nbd.NBD_CMD_FLAG_FUA) !== 0
    if (lengthBytes === 0 && command !== nbd.NBD_CMD_FLUSH) {
      this.#answers.empty(request)
      this.#answered(request)
      return
    }
    switch (command) {
      case nbd.NBD_CMD_READ:
        device.read(offsetBytes, lengthBytes).then(
          parts => this.#answerRead(request, parts),
          error => this.#failed(request, error)
        )
        return
      case nbd.NBD_CMD_WRITE:
        assert(payload?.length === lengthBytes, 'a write is started with its whole payload')
        this.#await(request, device.write(offsetBytes, payload, { fua }))
        return
      case nbd.NBD_CMD_FLUSH:
        this.#await(request, device.flush())
        return
      case nbd.NBD_CMD_TRIM:
        this.#await(request, device.trim(offsetBytes, lengthBytes, { fua }))
        return
      case nbd.NBD_CMD_WRITE_ZEROES: {
        const allocate = (flags & nbd.NBD_CMD_FLAG_NO_HOLE) !== 0
        this.#await(request, device.zero(offsetBytes, lengthBytes, { fua, allocate }))
        return
      }
      case nbd.NBD_CMD_BLOCK_STATUS:
        device.status(offsetBytes, lengthBytes).then(
          extents => this.#answerStatus(request, extents),
          error => this.#failed(request, error)
        )
        return
      default:
        // CACHE is advice, and nothing is nearer than where the device looks first.
        assert(command === nbd.NBD_CMD_CACHE, 'a command that is not served was refused before')
        this.#succeed(request)
    }
  }

  #await(request: NbdRequest, change: Promise<void>): void {
    change.then(
      () => this.#succeed(request),
      error => this.#failed(request, error)
    )
  }

  #answerRead(request: NbdRequest, parts: readonly Uint8Array[]): void {
    let length = 0
    for (const part of parts) length += part.length
    if (length === request.lengthBytes) this.#answers.data(request, parts)
    else this.#nonsense(request, `a device answered a read with ${length} bytes`)
    this.#answered(request)
  }

  #answerStatus(request: NbdRequest, extents: readonly DeviceExtent[]): void {
    const isEmpty = extents.every(extent => extent.lengthBytes <= 0)
    if (isEmpty) this.#nonsense(request, 'a device answered a block status with no extent')
    else this.#answers.status(request, extents)
    this.#answered(request)
  }

  #succeed(request: NbdRequest): void {
    this.#answers.success(request)
    this.#answered(request)
  }

  /** A device that breaks its contract: our bug, and no reason to end the volume for others. */
  #nonsense(request: NbdRequest, what: string): void {
    this.#parts.log.error({ request }, `nbd: ${what}`)
    this.#answers.failure(request, nbd.NBD_EIO, what)
  }

  #failed(request: NbdRequest, error: unknown): void {
    const { log } = this.#parts
    log.debug({ command: request.command, error: messageOf(error) }, 'nbd: a request failed')
    this.#fail(request, nbdErrorOf(error), messageOf(error))
  }

  #fail(request: NbdRequest, error: number, message: string): void {
    this.#answers.failure(request, error, message)
    this.#answered(request)
  }

  #answered(request: NbdRequest): void {
    this.#unanswered--
    assert(this.#unanswered >= 0, 'a request is answered once')
    this.#parts.output.charge(costOf(request))
    if (this.#leaving) this.#parts.leave()
  }
}
