/**
 * What a volume must contain: a register per sector, and the rule of what a crash may take.
 *
 * README, "What a crash can lose": acknowledged and not flushed, only when a gateway is gone (dead,
 * or superseded by another) and a storage host lost power before the next attach. Precisely, for
 * the sectors of host H:
 *
 *   H lost power, then the gateway ended before anything it asked of H since was answered   may lose
 *   the gateway ended, then H lost power before the next attach was done                    may lose
 *   everything else                                                                         kept
 *
 * An attach ends with a flush of all shards: what is there then is durable.
 */
import type { NodeId } from '../../protocols/ids.ts'
import { SECTOR_BYTES } from './content.ts'
import { type Bound, type Change, Register } from './register.ts'

export interface ReadBounds {
  readonly attachment: number
  readonly offset: number
  readonly bounds: readonly Bound[]
}

/** Undefined: the chunk is just passing, and durable wherever it will be. */
export type HostOf = (sector: number) => NodeId | undefined

export class VolumeModel {
  /** The attachment that counts; 0 while there is none. */
  attachment = 0
  readonly #registers: Register[]
  /** Who has each sector, as things are at the call. */
  readonly #hosts: () => HostOf
  /** Hosts that lost power and have answered nothing since, and what they had then. */
  readonly #unreplayed = new Map<NodeId, { upMs: number; readonly sectors: ReadonlySet<number> }>()
  #attachments = 0
  #changes = 0
  #answers = 0
  #flushedUpTo = 0
  #readsOpen = 0
  #hasLost = false

  constructor(sizeBytes: number, hosts: () => HostOf) {
    this.#registers = Array.from({ length: sizeBytes / SECTOR_BYTES }, () => new Register())
    this.#hosts = hosts
  }

  get answers(): number {
    return this.#answers
  }

  /** A new attachment serves; the one before it is over, and all that is there is durable. */
  attached(): number {
    this.ended()
    this.attachment = ++this.#attachments
    this.#flushedUpTo = this.#answers
    return this.attachment
  }

  /** The attachment is gone without a detach: dead, fenced or superseded. */
  ended(): void {
    if (this.attachment !== 0)
      for (const { sectors } of this.#unreplayed.values()) this.#lose(sectors)
    this.#unreplayed.clear()
    this.attachment = 0
  }

  powerLost(host: NodeId): void {
    const sectors = new Set(this.#unreplayed.get(host)?.sectors)
    const hostOf = this.#hosts()
    for (const sector of this.#registers.keys()) if (hostOf(sector) === host) sectors.add(sector)
    if (this.attachment === 0) this.#lose(sectors)
    else this.#unreplayed.set(host, { upMs: Number.POSITIVE_INFINITY, sectors })
  }

  powerBack(host: NodeId, nowMs: number): void {
    const lost = this.#unreplayed.get(host)
    if (lost !== undefined) this.#unreplayed.set(host, { ...lost, upMs: nowMs })
  }

  called(value: 'own' | 'zeroes', from: number, to: number, fua: boolean): Change {
    const id = ++this.#changes
    const change: Change = {
      id,
      value: value === 'own' ? id : 0,
      attachment: this.attachment,
      state: 'open',
      ackOrder: Number.POSITIVE_INFINITY,
      isFua: fua
    }
    for (let sector = from; sector < to; sector++) this.#at(sector).called(change)
    return change
  }

  answered(change: Change, from: number, to: number, calledMs: number): string | undefined {
    change.state = 'acked'
    change.ackOrder = ++this.#answers
    for (let sector = from; sector < to; sector++) {
      const wrong = this.#at(sector).answered(change)
      if (wrong !== undefined) return `sector ${sector}: ${wrong}`
    }
    this.#heard(from, to, change.attachment, calledMs)
    return undefined
  }

  failed(change: Change): void {
    change.state = 'failed'
  }

  /** Everything answered before its call is durable. */
  flushed(upTo: number): void {
    this.#flushedUpTo = Math.max(this.#flushedUpTo, upTo)
  }

  reads(attachment: number, from: number, to: number): ReadBounds {
    this.#readsOpen++
    const bounds: Bound[] = []
    for (let sector = from; sector < to; sector++) bounds.push(this.#at(sector).bound())
    return { attachment, offset: from, bounds }
  }

  readFailed(): void {
    this.#readEnded()
  }

  /** Judges what a read found, sector by sector; undefined values are not judged. */
  found(read: ReadBounds, values: readonly (number | undefined)[], calledMs: number) {
    const { offset, bounds, attachment } = read
    for (const [i, bound] of bounds.entries()) {
      const value = values[i]
      if (value === undefined) continue
      const wrong = this.#at(offset + i).found(value, bound, attachment)
      if (wrong !== undefined) {
        const host = this.#hosts()(offset + i)?.slice(8, 18) ?? 'nobody'
        return `sector ${offset + i} on ${host} reads as ${wrong}`
      }
    }
    this.#readEnded()
    this.#heard(offset, offset + bounds.length, attachment, calledMs)
    return undefined
  }

  /** The change in effect at a sector, where only one can be. */
  certain(sector: number): Change | undefined {
    return this.#at(sector).certain()
  }

  /** Its content has been durable: no loss of power can take it. */
  isDurable(sector: number): boolean {
    const certain = this.certain(sector)
    return certain !== undefined && this.#at(sector).durable(this.#flushedUpTo) >= certain.id
  }

  /** What these hosts answered to a request made since they are back means: replayed. */
  #heard(from: number, to: number, attachment: number, calledMs: number): void {
    if (this.#unreplayed.size === 0 || attachment !== this.attachment) return
    const hostOf = this.#hosts()
    for (const [host, { upMs, sectors }] of this.#unreplayed) {
      if (calledMs <= upMs) continue
      for (let sector = from; sector < to; sector++) {
        if (hostOf(sector) === host && sectors.has(sector)) this.#unreplayed.delete(host)
      }
    }
  }

  #lose(sectors: ReadonlySet<number>): void {
    this.#hasLost = true
    for (const sector of sectors) this.#at(sector).lose(this.#flushedUpTo)
  }

  #readEnded(): void {
    this.#readsOpen--
    if (this.#readsOpen > 0 || !this.#hasLost) return
    this.#hasLost = false
    for (const register of this.#registers) register.lossIsPast()
  }

  #at(sector: number): Register {
    const register = this.#registers[sector]
    if (register === undefined) throw new Error(`there is no sector ${sector}`)
    return register
  }
}
