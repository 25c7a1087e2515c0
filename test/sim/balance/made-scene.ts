/**
 * A mesh made from a seed: nodes in regions, each the gateway of a few volumes of a few chunks, with
 * loads of made-load.ts and forecasts of foretell.ts.
 *
 * Invariant: follows from the options.
 */
import { DEFAULT_SETTINGS } from '../../../protocols/balance/settings.ts'
import { type SimRandom, streamOf } from '../random.ts'
import { Foretelling, Unchanging } from './foretell.ts'
import { type LoadKind, MadeLoad } from './made-load.ts'
import { placesOf, roundTripMs, type SimPlace } from './places.ts'
import type { Scene, SceneVolume } from './scene.ts'
import {
  CAPACITY,
  COPY_BYTES_PER_SECOND,
  LEAST_CHUNK_BYTES,
  MEAN_PART,
  MOST_CHUNK_BYTES,
  MOST_PART,
  ROOM_BYTES,
  SHARES,
  THRESHOLD,
  VOLUMES_PER_NODE
} from './settings.ts'

export interface MadeOptions {
  readonly nodes: number
  readonly seed: number
  readonly load: LoadKind
  readonly isForetold: boolean
  /** Mean load as a part of capacity. */
  readonly meanPart?: number
}

export function madeScene({ nodes, seed, load, isForetold, meanPart }: MadeOptions): Scene {
  const places = placesOf(nodes, streamOf(seed, 'places'))
  const random = streamOf(seed, 'ground')
  const volumes = places.flatMap(place =>
    Array.from({ length: VOLUMES_PER_NODE }, () => volumeAt(place, random))
  )
  const zones = volumes.map(({ gateway }) => gateway.zone)
  const mean = ((meanPart ?? MEAN_PART) * CAPACITY) / VOLUMES_PER_NODE
  const size = { mean, most: MOST_PART * CAPACITY }
  const loads = new MadeLoad(streamOf(seed, 'load'), load, zones, size)
  return {
    places,
    volumes,
    capacity: CAPACITY,
    threshold: THRESHOLD,
    roomBytes: ROOM_BYTES,
    settings: DEFAULT_SETTINGS,
    load: loads,
    foretelling: isForetold ? new Foretelling(zones.length) : new Unchanging(loads),
    copyBytesPerSecond: COPY_BYTES_PER_SECOND,
    isMeasuredAlways: true,
    mostNewMoves: Number.POSITIVE_INFINITY,
    roundTripMs,
    copyMs: (bytes, _, fraction) => (bytes / COPY_BYTES_PER_SECOND) * 1000 * (0.9 + 0.4 * fraction)
  }
}

function volumeAt(gateway: SimPlace, random: SimRandom): SceneVolume {
  const chunks = SHARES.map(share => {
    return { share, bytes: Math.round(random.between(LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES)) }
  })
  return { gateway, chunks }
}
