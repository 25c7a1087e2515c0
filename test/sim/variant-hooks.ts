/** Hooks of node:module for variant-loader.ts: they run on a thread of their own. */
import type { InitializeHook, LoadHook } from 'node:module'
import type { Variant } from './variants.ts'

let variant: Variant | undefined

export const initialize: InitializeHook<Variant> = data => {
  variant = data
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context)
  if (variant === undefined || !url.endsWith(`/dist/${variant.file}`)) return loaded
  let source = String(loaded.source)
  for (const { find, replace } of [variant, ...(variant.and ? [variant.and] : [])]) {
    const parts = source.split(find)
    if (parts.length !== 2) {
      console.error(`variant '${variant.name}' no longer applies: found ${parts.length - 1} times`)
      process.exit(3)
    }
    source = parts.join(replace)
  }
  return { ...loaded, source }
}
