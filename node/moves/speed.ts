/** Bytes per second over the last seconds, in slots of one second. */
const SLOT_MS = 1_000
const SLOTS = 10

export class Speed {
  /** Slot number and bytes, the oldest first; at most SLOTS of them. */
  #slots: Array<{ slot: number; bytes: number }> = []
  #startedMs: number | undefined

  add(bytes: number, nowMs: number): void {
    this.#startedMs ??= nowMs
    const slot = Math.floor(nowMs / SLOT_MS)
    const last = this.#slots.at(-1)
    if (last?.slot === slot) last.bytes += bytes
    else this.#slots.push({ slot, bytes })
    this.#forget(slot)
  }

  perSecond(nowMs: number): number {
    const slot = Math.floor(nowMs / SLOT_MS)
    this.#forget(slot)
    const bytes = this.#slots.reduce((sum, one) => sum + one.bytes, 0)
    const sinceMs = Math.max(this.#startedMs ?? nowMs, (slot - SLOTS + 1) * SLOT_MS)
    return Math.round((bytes * 1000) / Math.max(SLOT_MS, nowMs - sinceMs))
  }

  #forget(slot: number): void {
    this.#slots = this.#slots.filter(one => one.slot > slot - SLOTS)
  }
}
