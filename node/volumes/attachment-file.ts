/**
 * DIR/attachments.json: what this gateway serves. Replaced as a whole: a new file is written and
 * synced, then renamed over the old one, then the directory is synced.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import { isVolumeId, type VolumeId } from '../../protocols/ids.ts'
import { tokenSchema } from '../../protocols/shard-control/messages.ts'
import { MAX_SAVED_ATTACHMENTS } from '../limits.ts'
import type { AttachmentList, SavedAttachment } from './types.ts'

const FILE = 'attachments.json'

const fileSchema = z.strictObject({
  version: z.literal(1),
  attachments: z
    .array(
      z.strictObject({
        volume: z.custom<VolumeId>(isVolumeId, 'not a volume id'),
        name: z.string(),
        token: tokenSchema
      })
    )
    .max(MAX_SAVED_ATTACHMENTS)
})

export function openAttachmentFile(dir: string): AttachmentList {
  const path = join(dir, FILE)
  return {
    load: () => load(path),
    save: list => save(dir, path, list)
  }
}

async function load(path: string): Promise<SavedAttachment[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw damaged(path, error)
  }
  try {
    return fileSchema.parse(JSON.parse(text)).attachments
  } catch (error) {
    throw isFault(error) ? error : damaged(path, error)
  }
}

async function save(dir: string, path: string, list: readonly SavedAttachment[]): Promise<void> {
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(`${JSON.stringify({ version: 1, attachments: list }, undefined, 2)}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  const directory = await open(dir, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function damaged(path: string, cause: unknown): ShoalError {
  return new ShoalError(
    { code: 'DATA_DIR', dir: path, problem: 'damaged' },
    `${path} cannot be read (${messageOf(cause)}): remove it, start again, and attach the ` +
      'volumes of this host with `shoal volume attach`',
    { cause }
  )
}
