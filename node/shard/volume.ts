/**
 * What the server keeps in memory of one volume's shard: the durable record, its runs indexed, the
 * admission machine and the counters.
 *
 * Invariants: the record here is never ahead of the durable one; the admission's greatest token is
 * the record's, or that of the removal; without a record nothing reaches the store.
 */
import { assert } from '../../protocols/assert.ts'
import type { Token, VolumeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import type { RunIndex } from '../../protocols/shard-control/runs.ts'
import { indexRuns } from '../../protocols/shard-control/runs.ts'
import type {
  Admission,
  AdmissionEffect,
  AdmissionEvent
} from '../../protocols/shard-io/session.ts'
import { initialAdmission, step } from '../../protocols/shard-io/session.ts'
import type { ShardRecord } from '../storage/types.ts'
import type { HeatMap } from './heat.ts'
import type { ShardMeter } from './meter.ts'
import { Watches } from './watches.ts'

export interface Counters {
  readOperations: number
  writeOperations: number
  readBytes: number
  writtenBytes: number
  flushes: number
}

/** The requests that began between two questions for what had begun so far. */
export interface Era {
  inFlight: number
  /** Set once somebody waits for this era and every one before it. */
  over: (() => void) | undefined
}

export class ShardVolume {
  readonly id: VolumeId
  readonly heat: HeatMap
  /** Undefined only where load is not measured at all. */
  readonly meter: ShardMeter | undefined
  readonly watches = new Watches()
  readonly counters: Counters = {
    readOperations: 0,
    writeOperations: 0,
    readBytes: 0,
    writtenBytes: 0,
    flushes: 0
  }
  /** Monotonic ms when the holder was last heard; the start of the server counts as once. */
  heardAtMs: number
  /** Monotonic ms when the mover was granted; the start of the server counts for one before. */
  moverAtMs: number
  /** Monotonic ms of the last line in the log about a failed request. */
  reportedAtMs = Number.NEGATIVE_INFINITY
  #record: ShardRecord | undefined
  #index: RunIndex
  #admission: Admission
  #era: Era = { inFlight: 0, over: undefined }
  /** Resolves when every era before the present one has settled. */
  #eras: Promise<void> = Promise.resolve()
  #idlers: Array<() => void> = []
  #nextOpen = 0
  readonly #opens = new Map<number, (isGranted: boolean) => void>()
  readonly #carryOut: (volume: ShardVolume, effect: AdmissionEffect) => void

  constructor(
    record: ShardRecord,
    heardAtMs: number,
    load: { readonly heat: HeatMap; readonly meter: ShardMeter | undefined },
    carryOut: (volume: ShardVolume, effect: AdmissionEffect) => void
  ) {
    this.id = record.spec.id
    this.heat = load.heat
    this.meter = load.meter
    this.heardAtMs = heardAtMs
    this.moverAtMs = heardAtMs
    this.#record = record
    this.#index = indexRuns(record.runs)
    this.#admission = initialAdmission(record.token)
    this.#carryOut = carryOut
  }

  get record(): ShardRecord | undefined {
    return this.#record
  }

  get index(): RunIndex {
    return this.#index
  }

  get greatest(): Token {
    return this.#admission.greatest
  }

  get waitingOpens(): number {
    return this.#admission.opens.length
  }

  get inFlight(): number {
    return this.#admission.inFlight + this.#admission.olderInFlight
  }

  /** Takes over a record that the store has made durable, and its token with it. */
  adopt(record: ShardRecord): void {
    assert(record.spec.id === this.id, 'a record stays with its volume')
    if (record.runs !== this.#record?.runs) this.#index = indexRuns(record.runs)
    this.#record = record
    this.advance({ type: 'grant', token: record.token })
  }

  /** From now on nothing reaches the store; `adopt` undoes it if the removal failed. */
  close(): void {
    this.#record = undefined
    this.#index = indexRuns([])
  }

  /** The removal is durable: whoever served under a smaller token is stale. */
  bury(token: Token): void {
    assert(this.#record === undefined, 'a volume is closed before it is removed')
    if (compareTokens(token, this.greatest) > 0) this.advance({ type: 'grant', token })
  }

  /** An era: hand the request to the store in this very step, and say `settled` afterwards. */
  begins(stream: number): Era | undefined {
    const { state, effects } = step(this.#admission, { type: 'begin', stream })
    this.#admission = state
    if (effects[0]?.type !== 'apply') return undefined
    this.#era.inFlight += 1
    return this.#era
  }

  settled(stream: number, era: Era): void {
    assert(era.inFlight > 0, 'what settles had begun')
    era.inFlight -= 1
    if (era.inFlight === 0) era.over?.()
    this.advance({ type: 'settle', stream })
    if (this.#idlers.length === 0 || this.inFlight > 0) return
    const idlers = this.#idlers
    this.#idlers = []
    for (const resolve of idlers) resolve()
  }

  /** Resolves once every request that had begun before the call has settled. */
  settledSoFar(): Promise<void> {
    const era = this.#era
    if (era.inFlight > 0) {
      const before = this.#eras
      const over = new Promise<void>(resolve => {
        era.over = resolve
      })
      this.#eras = over.then(() => before)
      this.#era = { inFlight: 0, over: undefined }
    }
    return this.#eras
  }

  advance(event: AdmissionEvent): void {
    const { state, effects } = step(this.#admission, event)
    this.#admission = state
    for (const effect of effects) {
      if (effect.type === 'opened') this.#answerOpen(effect.open, true)
      else if (effect.type === 'outdated') this.#answerOpen(effect.open, false)
      else this.#carryOut(this, effect)
    }
  }

  /** Resolves once nothing admitted under an older token is left; false if a greater one came. */
  open(token: Token): Promise<boolean> {
    return new Promise(resolve => {
      const open = this.#nextOpen
      this.#nextOpen += 1
      this.#opens.set(open, resolve)
      this.advance({ type: 'open', open, token })
    })
  }

  /** Resolves once no request is in flight. */
  idle(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve()
    return new Promise(resolve => this.#idlers.push(resolve))
  }

  holderSilentMs(nowMs: number): number | undefined {
    if (this.#record?.holder === undefined) return undefined
    return Math.max(0, nowMs - this.heardAtMs)
  }

  #answerOpen(open: number, isGranted: boolean): void {
    const resolve = this.#opens.get(open)
    assert(resolve !== undefined, 'every open is answered once')
    this.#opens.delete(open)
    resolve(isGranted)
  }
}
