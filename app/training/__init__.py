"""The Train page: refresh jobs, their curves and the adapters."""
