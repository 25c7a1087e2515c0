/** What the node has trained, kept over restarts: one file beside the series, replaced as a whole. */
import { decodeModels, encodeModels } from '../../protocols/forecast/models-codec.ts'
import type { Models } from '../../protocols/forecast/training.ts'
import { MAX_MODELS_BYTES } from '../limits.ts'
import type { SeriesFiles } from './series-files.ts'

const NAME = 'models'

/** Undefined: there are none, or they are of another version, or damaged. They are trained again. */
export function loadModels(files: SeriesFiles): Models | undefined {
  const size = files.size(NAME)
  if (size === 0 || size > MAX_MODELS_BYTES) return undefined
  const bytes = new Uint8Array(size)
  return decodeModels(bytes.subarray(0, files.read(NAME, bytes, 0)))
}

/** Throws ShoalError if the disk refuses. */
export function saveModels(files: SeriesFiles, models: Models): void {
  const next = `${NAME}.new`
  files.remove(next)
  files.write(next, encodeModels(models), 0)
  files.sync(next)
  files.rename(next, NAME)
}
