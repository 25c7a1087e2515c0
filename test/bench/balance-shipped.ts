/**
 * The shipped policy and the shipped negotiation in the world of the balancing bench: the simulated
 * mesh of test/sim/balance, whose nodes look, offer, bid, award and renew under simulated time and
 * over a network that loses and delays, with the volumes and loads of the setting.
 *
 *   begin(world) -> the mesh lives through the five minutes of the step -> what began in it
 *
 * Invariants: nodes know of loads what was measured before the step, and what `foresee` says; world
 * and mesh agree at every step where each piece is; every invariant of a simulated mesh holds.
 */
import { strictEqual } from 'node:assert'
import { DEFAULT_SETTINGS } from '../../protocols/balance/settings.ts'
import type { LoadPath } from '../../protocols/balance/types.ts'
import { STEP_MS } from '../../protocols/forecast/subject.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { SimChunk, SimMove } from '../sim/balance/ground.ts'
import { BalanceMesh } from '../sim/balance/mesh.ts'
import type { SimPlace } from '../sim/balance/places.ts'
import type { Foreteller, Scene, SceneLoad } from '../sim/balance/scene.ts'
import type { Foreseer } from './balance-forecasts.ts'
import { NODES, VOLUME_BYTES } from './balance-setting.ts'
import {
  NEW_MOVES_PER_STEP,
  type NewMove,
  type Piece,
  type Planner,
  stepsOfBytes,
  VOLUME_STEPS,
  type World
} from './balance-sim.ts'

/** Room for whatever comes. */
const ROOM_BYTES = 1024 * VOLUME_BYTES

export function shippedPlanner(foresee: Foreseer, seed: number): Planner {
  let play: Play | undefined
  return {
    begin: world => {
      play ??= new Play(world, foresee, seed)
      return play.step(world)
    },
    end: () => {
      const broken = play?.mesh.brokenAtEnd() ?? []
      strictEqual(broken.join('\n'), '', 'invariants of the simulated mesh')
    }
  }
}

class Play {
  readonly mesh: BalanceMesh
  readonly #firstStep: number
  readonly #pieces = new Map<SimChunk, Piece>()
  #begun: SimMove[] = []

  constructor(world: World, foresee: Foreseer, seed: number) {
    // The mesh looks from its second step on.
    this.#firstStep = world.step - 1
    this.mesh = new BalanceMesh(sceneOf(world, foresee, this.#firstStep), {
      seed,
      mode: 'predicted',
      watch: { started: move => this.#begun.push(move) }
    })
    this.mesh.runUntil(STEP_MS - 1)
    world.pieces.forEach((piece, i) => {
      const chunk = this.mesh.ground.chunks[i]
      if (chunk !== undefined) this.#pieces.set(chunk, piece)
    })
  }

  step({ step, places }: World): NewMove[] {
    this.#begun = []
    const at = step - this.#firstStep
    // Moves of before end with the step before: the last is where the world says that it is.
    for (const [{ holder }, { id }] of this.#pieces) {
      strictEqual(holder, places[id], `piece ${id} is elsewhere in step ${step}`)
    }
    this.mesh.runUntil((at + 1) * STEP_MS - 1)
    return this.#begun.map(({ target, chunks }) => ({
      to: target,
      pieces: chunks.flatMap(chunk => this.#pieces.get(chunk) ?? [])
    }))
  }
}

/** `firstStep`: of the setting, which is step 0 of the mesh. */
function sceneOf({ setting, pieces }: World, foresee: Foreseer, firstStep: number): Scene {
  const places = Array.from({ length: NODES }, (_, index) => placeOf(index))
  const volumes = setting.loads.map((_, volume) => ({
    gateway: placeOf(volume % NODES),
    chunks: pieces.filter(piece => piece.volume === volume)
  }))
  return {
    places,
    volumes,
    capacity: setting.capacity,
    // The bench counts load above capacity: so that is what a node is to stay below.
    threshold: setting.capacity,
    settings: { ...DEFAULT_SETTINGS, thresholdPart: 1, movesPerHour: 1_000 },
    roomBytes: ROOM_BYTES,
    load: new TracedLoad(setting.loads, firstStep),
    foretelling: new Foreseen(foresee, firstStep),
    copyBytesPerSecond: (VOLUME_BYTES * 1000) / (VOLUME_STEPS * STEP_MS),
    isMeasuredAlways: false,
    mostNewMoves: NEW_MOVES_PER_STEP,
    roundTripMs: () => 0,
    copyMs: (bytes, atMs) => {
      const from = Math.floor(atMs / STEP_MS)
      return (from + stepsOfBytes(bytes)) * STEP_MS - 1 - atMs
    }
  }
}

/** All in one region: the setting knows of no distances. */
function placeOf(index: number): SimPlace {
  const node = `node-${String(index).padStart(2, '0')}` as NodeId
  return { node, index, region: 'region', host: `host-${index}`, zone: 0, group: 0 }
}

/** What was measured in the step before. */
class TracedLoad implements SceneLoad {
  readonly now: Float64Array
  readonly #loads: readonly Float64Array[]
  readonly #firstStep: number

  constructor(loads: readonly Float64Array[], firstStep: number) {
    this.now = new Float64Array(loads.length)
    this.#loads = loads
    this.#firstStep = firstStep
  }

  advance(step: number): void {
    this.#loads.forEach((load, volume) => {
      this.now[volume] = load[this.#firstStep + step - 1] ?? 0
    })
  }
}

class Foreseen implements Foreteller {
  readonly #foresee: Foreseer
  readonly #firstStep: number
  #told = 0

  constructor(foresee: Foreseer, firstStep: number) {
    this.#foresee = foresee
    this.#firstStep = firstStep
  }

  tell(): void {
    this.#told++
  }

  path(volume: number): LoadPath {
    const path = this.#foresee(volume, this.#firstStep + this.#told)
    return { ...path, atMs: this.#told * STEP_MS }
  }

  /** No setting says more of a day: what was here before does not come back within one. */
  day(): undefined {
    return undefined
  }
}
