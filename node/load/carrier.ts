/**
 * Takes the history of chunks that left after them: load belongs to the data, not to the place.
 *
 *   passed(chunk) -> its part of the shard's load is owed to the target
 *   enough owed, or a while later -> keeper: take (history here, node too) -> target: give -> delivered
 *
 * Many cold chunks owe little each; what is owed to one node is taken together. Invariants: what was
 * taken is kept on disk until it was delivered, or is given up after CARRY_RETRY_MAX_MS; what arrives
 * twice counts once (the target remembers the id); a shard that lost its last chunk owes nobody: what
 * is owed to others is taken first, and the last target gets all that is left.
 */
import { messageOf } from '../../protocols/fault.ts'
import type { ChunkKey, HandoffId, NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAX_PIECE_CHUNKS } from '../../protocols/load/limits.ts'
import type { ChunkHeatMessage } from '../../protocols/load/messages.ts'
import { newHandoffId } from '../handoff/parts.ts'
import {
  CARRY_AFTER_MS,
  CARRY_LEAST_PART,
  CARRY_RETRY_MAX_MS,
  CARRY_RETRY_MIN_MS
} from '../limits.ts'
import type { Clock, Log, Random, Timer } from '../ports.ts'
import type { HistoryPart, PieceOnItsWay } from './keeper-messages.ts'

const HOURS = 24

/** A chunk's part of its shard's load, and what is remembered of its heat. */
export interface PartOfShard {
  readonly share: number
  readonly byHour: Float64Array | undefined
  readonly heat: ChunkHeatMessage | undefined
}

export interface CarrierOptions {
  readonly clock: Clock
  /** By which what is owed may wait for more. */
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
  /** Ends what is remembered of the chunk here, and says what it was. */
  readonly partOf: (chunk: ChunkKey) => PartOfShard
  /** The shard here holds no chunk any more. */
  readonly isEmpty: (volume: VolumeId) => boolean
  readonly take: (
    volume: VolumeId,
    id: HandoffId,
    to: NodeId,
    part: HistoryPart
  ) => Promise<PieceOnItsWay>
  readonly undelivered: () => Promise<readonly PieceOnItsWay[]>
  /** False: not now. Rejects if the node cannot be reached. */
  readonly give: (piece: PieceOnItsWay, heat: readonly ChunkHeatMessage[]) => Promise<boolean>
  readonly delivered: (id: string) => void
  /** All of its history has gone after its data. */
  readonly gone?: (volume: VolumeId) => void
}

interface Owed {
  readonly volume: VolumeId
  readonly to: NodeId
  /** What stays, by hour of the day and altogether. */
  left: number
  readonly leftByHour: Float64Array
  readonly heat: ChunkHeatMessage[]
  timer: Timer | undefined
}

export class Carrier {
  readonly #options: CarrierOptions
  readonly #owed = new Map<string, Owed>()
  /** Ids of pieces that are being delivered. */
  readonly #onTheirWay = new Set<string>()
  #isClosed = false

  constructor(options: CarrierOptions) {
    this.#options = options
  }

  /** Pieces that an earlier start of the node, or of its keeper, left. */
  async resume(): Promise<void> {
    for (const piece of await this.#options.undelivered()) void this.#deliver(piece, [])
  }

  /** The chunk is held by `to`, and its release here is confirmed. */
  passed(chunk: ChunkKey, to: NodeId): void {
    if (this.#isClosed) return
    const { loadClock, partOf, isEmpty } = this.#options
    const { volume } = chunk
    const part = partOf(chunk)
    const owed = this.#owedTo(volume, to)
    const isLast = isEmpty(volume)
    owed.left = isLast ? 0 : owed.left * (1 - part.share)
    for (let hour = 0; hour < HOURS; hour++) {
      const stays = isLast ? 0 : 1 - (part.byHour?.[hour] ?? part.share)
      owed.leftByHour[hour] = (owed.leftByHour[hour] ?? 1) * stays
    }
    if (part.heat !== undefined) owed.heat.push(part.heat)
    const isEnough = 1 - owed.left >= CARRY_LEAST_PART || owed.heat.length >= MAX_PIECE_CHUNKS
    if (isLast) this.#sendLast(volume, owed)
    else if (isEnough) void this.#send(owed)
    else owed.timer ??= loadClock.after(CARRY_AFTER_MS, () => void this.#send(owed))
  }

  close(): void {
    this.#isClosed = true
    for (const { timer } of this.#owed.values()) timer?.cancel()
    this.#owed.clear()
  }

  #owedTo(volume: VolumeId, to: NodeId): Owed {
    const name = `${volume} ${to}`
    const known = this.#owed.get(name)
    if (known !== undefined) return known
    const leftByHour = new Float64Array(HOURS).fill(1)
    const owed: Owed = { volume, to, left: 1, leftByHour, heat: [], timer: undefined }
    this.#owed.set(name, owed)
    return owed
  }

  #sendLast(volume: VolumeId, last: Owed): void {
    for (const owed of this.#owed.values()) {
      if (owed.volume === volume && owed !== last) void this.#send(owed)
    }
    const { isEmpty, gone } = this.#options
    void this.#send(last).then(isTaken => {
      if (isTaken && !this.#isClosed && isEmpty(volume)) gone?.(volume)
    })
  }

  /** Whether its part of the history was taken and has arrived, or will not. */
  #send(owed: Owed): Promise<boolean> {
    const { volume, to, left, leftByHour, heat } = owed
    owed.timer?.cancel()
    this.#owed.delete(`${volume} ${to}`)
    const part = { share: 1 - left, byHour: Array.from(leftByHour, stays => 1 - stays) }
    return this.#carry(volume, to, part, heat)
  }

  async #carry(
    volume: VolumeId,
    to: NodeId,
    part: HistoryPart,
    heat: readonly ChunkHeatMessage[]
  ): Promise<boolean> {
    const { random, log, take } = this.#options
    try {
      await this.#deliver(await take(volume, newHandoffId(random), to, part), heat)
      return true
    } catch (error) {
      log.warn({ volume, to, error: messageOf(error) }, 'the history of what moved stays here')
      return false
    }
  }

  async #deliver(piece: PieceOnItsWay, heat: readonly ChunkHeatMessage[]): Promise<void> {
    if (this.#onTheirWay.has(piece.id)) return
    this.#onTheirWay.add(piece.id)
    await this.#offer(piece, heat)
    this.#onTheirWay.delete(piece.id)
  }

  /** Asks ever less often, until it is taken or nobody will. */
  async #offer(piece: PieceOnItsWay, heat: readonly ChunkHeatMessage[]): Promise<void> {
    const { clock, log, give, delivered } = this.#options
    for (let pauseMs = CARRY_RETRY_MIN_MS; !this.#isClosed; pauseMs *= 2) {
      if (await give(piece, heat).catch(() => false)) return delivered(piece.id)
      if (pauseMs > CARRY_RETRY_MAX_MS) break
      await new Promise<void>(resolve => {
        clock.after(pauseMs, resolve)
      })
    }
    if (this.#isClosed) return
    log.warn({ volume: piece.key, to: piece.to }, 'the history of what moved was not taken there')
    delivered(piece.id)
  }
}
