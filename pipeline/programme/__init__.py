"""What a programme is put together from: subtitles, a timeline, loudness, files to hand on."""
